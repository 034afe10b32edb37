"""Reading a user's log: from memory at its head, from chunks and memory together before that."""

from __future__ import annotations

from typing import NamedTuple

import apsw
from msgspec.structs import replace

from goldenpath.errors import PositionError
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import ORIGIN_MARK, Mark, Seq
from goldenpath.store.chunks import bounded, without
from goldenpath.store.interface import Batch, Position
from goldenpath.store.sqlite import queries
from goldenpath.store.sqlite.memory import UserState, last_seq_of, mark_at
from goldenpath.store.sqlite.queries import Settled
from goldenpath.store.sqlite.threads import Readers


class Found(NamedTuple):
    """Entries after a cursor, none missing, and the mark of the last one's activation."""

    codec: int
    entries: list[EncodedEntry]
    mark: Mark


def read_memory(state: UserState, position: Position, limit: int, max_bytes: int) -> Batch | None:
    """`read` where memory holds all of it; None where it does not."""
    cursor = position.cursor
    if cursor < state.settled_seq or not _check(state, position):
        return None
    offset = cursor - state.settled_seq
    if offset >= len(state.entries):
        return Batch(position.mark, cursor, cursor, 0, [], False)
    entries = bounded(state.entries[offset : offset + limit], max_bytes)
    to = entries[-1].seq
    mark = mark_at(state, to)
    if mark is None:
        return None
    events = [entry.json for entry in entries if not entry.internal and entry.json]
    return Batch(mark, cursor, Seq(to), len(entries) - len(events), events, to < state.head)


async def read(
    state: UserState, readers: Readers, position: Position, limit: int, max_bytes: int
) -> Batch:
    """See `Store.read`."""
    found = await find(state, readers, position.cursor, limit, max_bytes, position=position)
    entries = found.entries
    if not entries:
        return Batch(
            position.mark, position.cursor, position.cursor, 0, [], position.cursor < state.head
        )
    to = entries[-1].seq
    events = [entry.json for entry in entries if not entry.internal and entry.json]
    hidden = sum(entry.hidden for entry in entries)
    return Batch(found.mark, position.cursor, Seq(to), hidden, events, to < state.head)


async def find(
    state: UserState,
    readers: Readers,
    after: int,
    limit: int,
    max_bytes: int,
    *,
    position: Position | None = None,
) -> Found:
    """Find entries; checks `position` in the same moment. Raises `PositionError`."""
    while True:
        generation, settled_seq = state.generation, state.settled_seq
        known = _check(state, position)
        if known and after >= settled_seq:
            offset = after - settled_seq
            entries = bounded(state.entries[offset : offset + limit], max_bytes)
            mark = mark_at(state, entries[-1].seq) if entries else None
            if mark is not None or not entries:
                return Found(state.codec, entries, mark or ORIGIN_MARK)
        offset = max(after - settled_seq, 0)
        memory, codec = state.entries[offset : offset + limit], state.codec
        user_no, erasing = state.user_no, dict(state.erasing)
        wanted = ORIGIN_MARK if position is None else position.mark

        def query(
            connection: apsw.Connection, user_no: int = user_no, wanted: str = wanted
        ) -> Settled:
            return queries.read_settled(
                connection, user_no, after, limit=limit, max_bytes=max_bytes, mark=wanted
            )

        settled = await readers.run(query)
        if state.generation != generation:
            continue
        if position is not None and not known:
            _check_settled(position, settled, state)
        if erasing:
            settled = replace(settled, entries=without(settled.entries, erasing))
        found = Found(settled.codec, settled.entries, Mark(settled.mark or ORIGIN_MARK))
        reached = found.entries[-1].seq if found.entries else after
        more = [entry for entry in memory if entry.seq > reached][: limit - len(found.entries)]
        follows = reached >= settled.head and more and more[0].seq == reached + 1
        if not follows or (found.entries and codec != found.codec):
            return found
        entries = bounded([*found.entries, *more], max_bytes)
        if len(entries) <= len(found.entries):
            return found
        mark = mark_at(state, entries[-1].seq)
        assert mark is not None  # memory knows who wrote what it holds
        return Found(codec, entries, mark)


def _check(state: UserState, position: Position | None) -> bool:
    # True if memory could tell that it is valid; False if the settled marks must be asked.
    if position is None or (
        position.mark == state.mark and 0 <= position.cursor <= state.head  # the usual case
    ):
        return True
    last = last_seq_of(state, position.mark)
    if last is None:
        return False
    if not 0 <= position.cursor <= last:
        raise _invalid(position)
    return True


def _check_settled(position: Position, settled: Settled, state: UserState) -> None:
    # Memory holds the newest activations: one that it does not know ended before those.
    last = settled.position_last
    if state.activations:
        last = min(last, state.activations[0].first_seq - 1)
    if not 0 <= position.cursor <= last:
        raise _invalid(position)


def _invalid(position: Position) -> PositionError:
    return PositionError(f"({position.mark}, {position.cursor}) is not a position of this log")


async def check_position(state: UserState, readers: Readers, position: Position) -> None:
    """Raise `PositionError` if it is none of this log."""
    if not _check(state, position):
        settled = await readers.run(
            lambda c: queries.read_settled(
                c, state.user_no, position.cursor, limit=0, max_bytes=0, mark=position.mark
            )
        )
        _check_settled(position, settled, state)


async def position_at(state: UserState, readers: Readers, seq: int) -> Position:
    """The position of a reader that has read up to `seq`, which is in the log."""
    mark = mark_at(state, seq) if seq else ORIGIN_MARK
    if mark is None:
        user_no = state.user_no
        found = await readers.run(lambda connection: queries.mark_of(connection, user_no, seq))
        mark = Mark(found or ORIGIN_MARK)
    return Position(mark, Seq(seq))
