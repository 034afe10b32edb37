"""Retention of threads: one that has no run left goes, as if it had been deleted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from goldenpath.model.ids import UserId
from goldenpath.store.chunks import without
from goldenpath.store.postgres.erase import lock_user, rewrite_chunks
from goldenpath.store.postgres.server import Connection


class OldThread(NamedTuple):
    """A thread that was created long ago and, as far as is known, not used since."""

    known_ms: int
    user_no: int
    thread_id: str
    user: UserId


async def find_old_threads(
    connection: Connection, before_ms: int, after: OldThread | None, limit: int
) -> list[OldThread]:
    """Threads to look at, longest unused first, from the one that follows `after`."""
    at = (-1, 0, "") if after is None else after[:3]
    return [OldThread(*row) for row in await connection.fetch(_OLD, before_ms, *at, limit)]


_OLD = """
SELECT t.known_ms, t.user_no, t.thread_id, u.user_id FROM (
    SELECT coalesce(used_ms, created_ms) AS known_ms, user_no, thread_id FROM goldenpath.threads
    WHERE coalesce(used_ms, created_ms) < $1
        AND (coalesce(used_ms, created_ms), user_no, thread_id) > ($2, $3, $4)
    ORDER BY coalesce(used_ms, created_ms), user_no, thread_id LIMIT $5
) t JOIN goldenpath.users u ON u.user_no = t.user_no
ORDER BY t.known_ms, t.user_no, t.thread_id
"""


async def erase_unused(connection: Connection, user_no: int, threads: Sequence[str]) -> int:
    """Erase those of a user's old threads that have no run, in one transaction; gives how many.

    Of the others is kept when they were used.
    """
    try:
        async with connection.transaction():
            return await _erase(connection, user_no, threads)
    except _UsedAgain:
        return 0  # the next round sees by whom


class _UsedAgain(Exception):
    """A thread got a run while its entries were rewritten: nothing is erased."""


async def _erase(connection: Connection, user_no: int, threads: Sequence[str]) -> int:
    unused, used = await _sorted(connection, user_no, threads)
    upto: int = await connection.fetchval(
        "SELECT head FROM goldenpath.users WHERE user_no = $1", user_no
    )
    if unused:
        await _rewrite(connection, user_no, min(unused.values()) - 1, upto, unused)
    _, _, head, _ = await lock_user(connection, user_no)
    if unused:
        again, _ = await _sorted(connection, user_no, list(unused))
        if again.keys() != unused.keys():
            raise _UsedAgain
        await _rewrite(connection, user_no, upto, head, unused)
        for statement in _FORGET:
            await connection.execute(statement, user_no, list(unused))
    if used:
        await connection.execute(_KEEP, user_no, list(used), list(used.values()))
    return len(unused)


async def _sorted(
    connection: Connection, user_no: int, threads: Sequence[str]
) -> tuple[dict[str, int], dict[str, int]]:
    """Threads without a run and their first seqs; the others, and when they were used."""
    rows = await connection.fetch(_USED, user_no, threads)
    return (
        {row[0]: row[1] for row in rows if row[2] is None},
        {row[0]: row[2] for row in rows if row[2] is not None},
    )


async def _rewrite(
    connection: Connection, user_no: int, after: int, upto: int, threads: Iterable[str]
) -> None:
    erasing: dict[str, int] = dict.fromkeys(threads, upto)
    await rewrite_chunks(connection, user_no, after, upto, lambda chunk: without(chunk, erasing))


_USED = """
SELECT t.thread_id, t.created_seq, (
    SELECT coalesce(r.ended_ms, r.queued_ms) FROM goldenpath.runs r
    WHERE r.user_no = t.user_no AND r.thread_id = t.thread_id ORDER BY r.first_seq DESC LIMIT 1)
FROM goldenpath.threads t WHERE t.user_no = $1 AND t.thread_id = ANY ($2)
"""
_KEEP = """
UPDATE goldenpath.threads t SET used_ms = a.used_ms
FROM unnest($2::text[], $3::bigint[]) AS a(thread_id, used_ms)
WHERE t.user_no = $1 AND t.thread_id = a.thread_id
    AND coalesce(t.used_ms, t.created_ms) < a.used_ms
"""
_FORGET = (
    "DELETE FROM goldenpath.threads WHERE user_no = $1 AND thread_id = ANY ($2)",
    "UPDATE goldenpath.receipts SET body_hash = NULL WHERE user_no = $1 AND thread_id = ANY ($2)",
)
