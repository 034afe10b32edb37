"""Erasing and pruning settled entries: chunks are rewritten in place, rows deleted.

An erasure was promised by an append: until it is through here, reads hide what it names. Pruning
promises nothing before its transaction.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import apsw
import msgspec

from goldenpath.model.entries import EncodedEntry
from goldenpath.store.chunks import decode_entries, encode_entries, pruned, without
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

    jobs: list[Job] = []
    after = item.first_seq - 1
    while True:
        chunks = await readers.run(
            lambda connection, after=after: _load_chunks(
                connection, item.user_no, after, item.last_seq
            )
        )
        if not chunks:
            break
        job = _rewritten(chunks, lambda entries: pruned(entries, family, everything=everything))
        if job is not None:
            jobs.append(job)
        after = chunks[-1].last_seq

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
