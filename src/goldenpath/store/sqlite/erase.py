"""Erasing and pruning settled entries: chunks are rewritten in place, rows deleted.

An erasure was promised by an append: until it is through here, reads hide what it names. Pruning
promises nothing before its transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import apsw
import msgspec

from goldenpath.model.entries import EncodedEntry
from goldenpath.store.chunks import decode_entries, encode_entries, owners, pruned, without
from goldenpath.store.sqlite import sql
from goldenpath.store.sqlite.memory import UserState
from goldenpath.store.sqlite.threads import Job, Readers

_CHUNKS_AT_ONCE = 64
_encode = msgspec.json.Encoder().encode

RunJob = Callable[[Job], Awaitable[object]]
Rewrite = Callable[[list[EncodedEntry]], list[EncodedEntry]]


class _Chunk(msgspec.Struct, frozen=True):
    chunk: int
    last_seq: int
    entries: list[EncodedEntry]


def _load_chunks(connection: apsw.Connection, user_no: int, after: int, upto: int) -> list[_Chunk]:
    keys, body = sql.fetch(
        connection,
        "SELECT json_group_array(json_array(chunk, last_seq, length(body)) ORDER BY last_seq),"
        " CAST(group_concat(body, '' ORDER BY last_seq) AS BLOB) FROM ("
        " SELECT chunk, last_seq, body FROM chunks WHERE user_no = ? AND last_seq > ?"
        " AND first_seq <= ? ORDER BY last_seq LIMIT ?)",
        (user_no, after, upto, _CHUNKS_AT_ONCE),
    )[0]
    result: list[_Chunk] = []
    view, start = memoryview(body or b""), 0
    for chunk, last_seq, size in msgspec.json.decode(keys):
        result.append(_Chunk(chunk, last_seq, decode_entries(view[start : start + size])))
        start += size
    return result


def _rewritten(chunks: Sequence[_Chunk], rewrite: Rewrite) -> Job | None:
    # The transaction that writes those chunks that `rewrite` changes.
    keys: list[tuple[int, int, int]] = []
    blob = bytearray()
    for chunk in chunks:
        entries = rewrite(chunk.entries)
        if entries != chunk.entries:
            body = encode_entries(entries)
            keys.append((chunk.chunk, len(blob) + 1, len(body)))
            blob += body
    if not keys:
        return None
    texts = _encode(keys).decode()

    def write(connection: apsw.Connection) -> None:
        sql.run(
            connection,
            "UPDATE chunks SET body = substr(?2, j.value ->> 1, j.value ->> 2)"
            " FROM json_each(?1) j WHERE chunk = j.value ->> 0",
            (texts, bytes(blob)),
        )

    return write


async def erase_pending(state: UserState, readers: Readers, run: RunJob) -> None:
    """Rewrite what `state.erasing` names, which must be settled; then forget the promise."""
    erasing, user_no = dict(state.erasing), state.user_no
    upto = max(erasing.values())
    after = 0
    while True:
        chunks = await readers.run(
            lambda connection, after=after: _load_chunks(connection, user_no, after, upto)
        )
        if not chunks:
            break
        job = _rewritten(chunks, lambda entries: without(entries, erasing))
        if job is not None:
            await run(job)
        after = chunks[-1].last_seq

    def rows(connection: apsw.Connection) -> None:
        for thread_id, thread_upto in erasing.items():
            _erase_rows(connection, user_no, thread_id, thread_upto)

    await run(rows)
    for thread_id, thread_upto in erasing.items():
        if state.erasing.get(thread_id) == thread_upto:
            del state.erasing[thread_id]
    state.generation += 1


def _erase_rows(connection: apsw.Connection, user_no: int, thread_id: str, upto: int) -> None:
    where = "user_no = ?1 AND (?2 = '' OR thread_id = ?2)"
    values = (user_no, thread_id, upto)
    sql.run(
        connection,
        "DELETE FROM approvals WHERE user_no = ?1 AND requested_seq <= ?3 AND run_id IN"
        f" (SELECT run_id FROM runs WHERE {where} AND first_seq <= ?3)",
        values,
    )
    sql.run(connection, f"DELETE FROM runs WHERE {where} AND first_seq <= ?3", values)
    sql.run(
        connection, f"DELETE FROM threads WHERE {where} AND body ->> '$.created_seq' <= ?3", values
    )
    sql.run(
        connection,
        "UPDATE receipts SET body = json_set(body, '$.body_hash', NULL)"
        " WHERE user_no = ?1 AND (?2 = '' OR body ->> '$.thread_id' = ?2)"
        " AND coalesce(body ->> '$.seq', 0) <= ?3",
        values,
    )
    sql.run(
        connection,
        "DELETE FROM acks WHERE ?2 = '' AND user_no = ?1 AND cursor <= ?3",
        values,
    )
    sql.run(
        connection,
        "DELETE FROM erasures WHERE user_no = ?1 AND thread_id = ?2 AND upto = ?3",
        values,
    )


# Pruning


class Prunable(msgspec.Struct, frozen=True, array_like=True):
    """An ended root run: the seqs between which it and its children stand."""

    user: str
    user_no: int
    run_id: str
    first_seq: int
    last_seq: int
    family: list[str]
    """Its own id and those of its children, and theirs."""


def find_prunable(
    connection: apsw.Connection, before_ms: int, everything: bool, limit: int
) -> list[Prunable]:
    """Root runs that ended before, oldest first."""
    states = "(0, 1)" if everything else "(0)"
    text = sql.one(connection, _PRUNABLE.format(states=states), (before_ms, limit))
    return msgspec.json.decode(text, type=list[Prunable])


_PRUNABLE = """
SELECT json_group_array(json_array(u.user, r.user_no, r.run_id, r.first_seq, r.last_seq, json((
    WITH RECURSIVE family(run_id) AS (
        SELECT r.run_id UNION
        SELECT c.run_id FROM runs c JOIN family f
        ON c.parent_run_id = f.run_id AND c.user_no = r.user_no)
    SELECT json_group_array(run_id) FROM family))))
FROM (SELECT * FROM runs WHERE pruned IN {states} AND parent_run_id IS NULL
    AND ended_ms IS NOT NULL AND ended_ms < ? ORDER BY ended_ms LIMIT ?) r
JOIN users u ON u.user_no = r.user_no
"""


async def prune_run(item: Prunable, everything: bool, readers: Readers, run: RunJob) -> None:
    """Rewrite the chunks of a run and its children, in one transaction."""
    family = frozenset(item.family)
    jobs = await _rewriting(
        readers, item.user_no, item.first_seq - 1, item.last_seq,
        lambda entries: pruned(entries, family, everything=everything),
    )  # fmt: skip

    def write(connection: apsw.Connection) -> None:
        for job in jobs:
            job(connection)
        ids = _encode(item.family).decode()
        if everything:
            _forget_runs(connection, item.user_no, ids)
        else:
            sql.run(
                connection,
                "UPDATE runs SET pruned = 1 WHERE user_no = ?1"
                " AND run_id IN (SELECT value FROM json_each(?2))",
                (item.user_no, ids),
            )

    await run(write)


async def _rewriting(
    readers: Readers, user_no: int, after: int, upto: int, rewrite: Rewrite
) -> list[Job]:
    """What writes the chunks that hold entries in (after, upto] anew, in one transaction."""
    jobs: list[Job] = []
    while True:
        chunks = await readers.run(
            lambda connection, after=after: _load_chunks(connection, user_no, after, upto)
        )
        if not chunks:
            return jobs
        job = _rewritten(chunks, rewrite)
        if job is not None:
            jobs.append(job)
        after = chunks[-1].last_seq


def _forget_runs(connection: apsw.Connection, user_no: int, ids: str) -> None:
    some = "IN (SELECT value FROM json_each(?2))"
    for table in ("approvals", "runs"):
        sql.run(
            connection, f"DELETE FROM {table} WHERE user_no = ?1 AND run_id {some}", (user_no, ids)
        )
    sql.run(
        connection,
        "UPDATE receipts SET body = json_set(body, '$.body_hash', NULL)"
        f" WHERE user_no = ?1 AND body ->> '$.run_id' {some}",
        (user_no, ids),
    )


# Threads without a run


class OldThread(msgspec.Struct, frozen=True, array_like=True):
    """A thread that was created long ago and, as far as was known, not used since."""

    known_ms: int
    user_no: int
    thread_id: str
    user: str
    created_seq: int
    used_ms: int | None
    """When its newest run ended, or began if it is open: it has that run until then, at least.
    None without a run."""


def find_old_threads(
    connection: apsw.Connection, before_ms: int, after: OldThread | None, limit: int
) -> list[OldThread]:
    """Threads to look at, longest unused first, from the one that follows `after`."""
    at = (-1, 0, "") if after is None else (after.known_ms, after.user_no, after.thread_id)
    text = sql.one(connection, _OLD_THREADS, (before_ms, *at, limit))
    return msgspec.json.decode(text, type=list[OldThread])


_OLD_THREADS = """
SELECT json_group_array(json_array(t.known_ms, t.user_no, t.thread_id, u.user,
    t.body ->> '$.created_seq', (
        SELECT coalesce(r.ended_ms, r.queued_ms) FROM runs r
        WHERE r.user_no = t.user_no AND r.thread_id = t.thread_id
        ORDER BY r.first_seq DESC LIMIT 1))
    ORDER BY t.known_ms, t.user_no, t.thread_id)
FROM (SELECT *, coalesce(used_ms, created_ms) AS known_ms FROM threads
    WHERE coalesce(used_ms, created_ms) < ?1 AND coalesce(used_ms, created_ms) >= ?2
        AND (coalesce(used_ms, created_ms), user_no, thread_id) > (?2, ?3, ?4)
    ORDER BY coalesce(used_ms, created_ms), user_no, thread_id LIMIT ?5) t
JOIN users u ON u.user_no = t.user_no
"""


async def erase_unused(
    state: UserState, threads: Sequence[OldThread], readers: Readers, run: RunJob
) -> int:
    """Erase those of a user's old threads that have no run, in one transaction; gives how many.

    Of the others is kept when they were used. What is settled must stay as it is meanwhile.
    """
    user_no, upto = state.user_no, state.settled_seq
    unused = [thread for thread in threads if thread.used_ms is None]
    erasing = {thread.thread_id: upto for thread in unused}
    after = min((thread.created_seq for thread in unused), default=upto + 1) - 1
    jobs = await _rewriting(
        readers, user_no, after, upto, lambda entries: without(entries, erasing)
    )
    if any(owners(entry)[0] in erasing for entry in state.entries):
        jobs, erasing = [], {}  # one of them has just been used: another time
    used = [(t.thread_id, t.used_ms) for t in threads if (t.used_ms or 0) > t.known_ms]
    if not erasing and not used:
        return 0

    def write(connection: apsw.Connection) -> None:
        for job in jobs:
            job(connection)
        for thread_id in erasing:
            _erase_rows(connection, user_no, thread_id, upto)
        sql.run(
            connection,
            "UPDATE threads SET used_ms = j.value ->> 1 FROM json_each(?2) j"
            " WHERE user_no = ?1 AND thread_id = j.value ->> 0",
            (user_no, _encode(used).decode()),
        )

    await run(write)
    return len(erasing)
