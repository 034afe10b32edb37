"""Hiding what is in the log: pruning of old runs, retention, and rewriting of chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goldenpath.model.entries import EncodedEntry
from goldenpath.store.chunks import decode_entries, encode_entries, pruned
from goldenpath.store.postgres.link import answered
from goldenpath.store.postgres.server import Connection

_CHUNKS_AT_ONCE = 64


async def rewrite_chunks(
    connection: Connection,
    user_no: int,
    after: int,
    upto: int,
    rewrite: Callable[[list[EncodedEntry]], list[EncodedEntry]],
) -> None:
    """Rewrite a user's chunks that hold entries in (after, upto], in a transaction of the caller's.

    It may take long, so it locks the chunks, which nobody else changes but who erases, and not the
    user: others' groups with appends and commands would wait for his row. Who calls this locks that
    row afterwards, not before.
    """
    while True:
        rows = await connection.fetch(
            "SELECT last_seq, body FROM goldenpath.chunks WHERE user_no = $1 AND last_seq > $2"
            " AND first_seq <= $3 ORDER BY last_seq LIMIT $4 FOR NO KEY UPDATE",
            user_no, after, upto, _CHUNKS_AT_ONCE,
        )  # fmt: skip
        if not rows:
            return
        answered()
        seqs: list[int] = []
        bodies: list[bytes] = []
        for last_seq, body in rows:
            entries = decode_entries(body)
            changed = rewrite(entries)
            if changed != entries:
                seqs.append(last_seq)
                bodies.append(encode_entries(changed))
        if seqs:
            await connection.execute(
                "UPDATE goldenpath.chunks c SET body = a.body"
                " FROM unnest($2::bigint[], $3::bytea[]) AS a(last_seq, body)"
                " WHERE c.user_no = $1 AND c.last_seq = a.last_seq",
                user_no, seqs, bodies,
            )  # fmt: skip
        after = rows[-1][0]


async def lock_user(connection: Connection, user_no: int) -> Any:
    """Lock a user's row until the transaction ends; gives its epoch, mark, head, last append."""
    return await connection.fetchrow(
        "SELECT epoch, mark, head, last_append FROM goldenpath.users WHERE user_no = $1"
        " FOR NO KEY UPDATE",
        user_no,
    )


async def find_prunable(
    connection: Connection, before_ms: int, limit: int, *, everything: bool
) -> list[Any]:
    """(user, user number, run id) of root runs that ended before, oldest first."""
    return await connection.fetch(
        "SELECT u.user_id, r.user_no, r.run_id FROM goldenpath.runs r"
        " JOIN goldenpath.users u ON u.user_no = r.user_no"
        " WHERE r.parent_run_id IS NULL AND r.ended_ms < $1 AND (NOT r.pruned OR $2)"
        " ORDER BY r.ended_ms LIMIT $3",
        before_ms, everything, limit,
    )  # fmt: skip


async def prune_run(connection: Connection, user_no: int, run_id: str, *, everything: bool) -> bool:
    """Hide a run and its children, in one transaction: with `everything` all of them.

    False if another host has done that, or does it now: each of them looks for what is to be done.
    """
    async with connection.transaction():
        if not await connection.fetchval(_CLAIM, user_no, run_id):
            return False
        rows = await connection.fetch(_FAMILY, user_no, run_id, everything)
        if not rows:
            return False
        family = frozenset(row[0] for row in rows)
        first, last = min(row[1] for row in rows), max(row[2] for row in rows)
        await rewrite_chunks(
            connection, user_no, first - 1, last,
            lambda chunk: pruned(chunk, family, everything=everything),
        )  # fmt: skip
        await lock_user(connection, user_no)
        for statement in _FORGET if everything else _PRUNED:
            await connection.execute(statement, user_no, list(family))
    return True


_CLAIM = "SELECT pg_try_advisory_xact_lock(hashtextextended($2, $1))"
_FAMILY = """
WITH RECURSIVE family AS (
    SELECT r.run_id, r.first_seq, r.last_seq FROM goldenpath.runs r
    WHERE r.user_no = $1 AND r.run_id = $2 AND (NOT r.pruned OR $3)
    UNION
    SELECT c.run_id, c.first_seq, c.last_seq FROM goldenpath.runs c JOIN family f
    ON c.parent_run_id = f.run_id WHERE c.user_no = $1
)
SELECT run_id, first_seq, coalesce(last_seq, first_seq) FROM family
"""
_PRUNED = ("UPDATE goldenpath.runs SET pruned = true WHERE user_no = $1 AND run_id = ANY ($2)",)
_FORGET = (
    "DELETE FROM goldenpath.approvals WHERE user_no = $1 AND run_id = ANY ($2)",
    "DELETE FROM goldenpath.runs WHERE user_no = $1 AND run_id = ANY ($2)",
    "UPDATE goldenpath.receipts SET body_hash = NULL WHERE user_no = $1 AND run_id = ANY ($2)",
)
