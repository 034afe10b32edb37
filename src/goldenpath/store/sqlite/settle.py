"""Settling: moving what the tail holds into the tables that are clustered by user.

A slice is a few users, whole: their entries as chunks, the rows that these changed, and up to which
group they have got, in one transaction. So reading the tail again after a crash changes nothing.
Each statement writes the rows of all users of the slice: see `threads` for why.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from goldenpath.model.entries import EncodedEntry
from goldenpath.store.chunks import decode_entries, encode_entries
from goldenpath.store.sqlite.fold import Changes
from goldenpath.store.sqlite.memory import Activated, InboxItem, UserState
from goldenpath.store.sqlite.sql import fetch, run

CHUNK_ENTRIES = 64
CHUNK_BYTES = 32 * 1024
SMALL_CHUNK_BYTES = 4 * 1024
SMALL_CHUNK_ENTRIES = CHUNK_ENTRIES // 4
"""A last chunk below both is joined with what follows it: larger ones cost more to move, page by
page all over the file, than they save."""

_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack_item = msgspec.msgpack.Decoder(InboxItem)


class Capture:
    """A user's state at one moment, as it is going to be settled."""

    def __init__(self, state: UserState) -> None:
        self.state = state
        self.user_no = state.user_no
        self.group = state.group
        self.head = state.head
        self.first_seq = state.settled_seq + 1
        self.codec = state.codec
        self.entries = state.entries[:]
        self.row: list[Any] = [
            state.user_no,
            state.user,
            state.epoch,
            state.mark,
            state.head,
            state.group,
            state.last_append,
            state.due_ms,
            state.delivered,
        ]
        self.delivered = state.delivered
        self.receipts = dict(state.receipts)
        self.marks = state.marks_dirty[:]
        self.acks = {device: state.acks[device] for device in state.acks_dirty}
        self.fetched = frozenset(state.fetched)
        self.inbox: list[tuple[str, InboxItem, int]] = []
        self.inbox_gone: list[str] = []
        for command_id in state.inbox_dirty:
            if command_id not in state.inbox:
                self.inbox_gone.append(command_id)
        for command_id, item in state.inbox.items():
            if command_id in state.inbox_dirty:
                state.place += 1
                self.inbox.append((command_id, item, state.place))
        self.erasing = dict(state.erasing) if state.erasing_dirty else {}

    def settled(self) -> None:
        """Take what was settled out of the user's memory."""
        state = self.state
        state.entries = state.entries[len(self.entries) :]
        state.settled_seq = self.head
        state.stored = True
        for command_id in self.receipts:
            # An erasure may have replaced it meanwhile; that one reaches the table as well.
            state.receipts.pop(command_id, None)
        written: dict[str, InboxItem | None] = {item[0]: item[1] for item in self.inbox}
        written.update(dict.fromkeys(self.inbox_gone))
        for command_id, item in written.items():
            if state.inbox.get(command_id) is item:
                state.inbox_dirty.discard(command_id)
        del state.marks_dirty[: len(self.marks)]
        del state.activations[: -_RECENT if len(state.activations) > _RECENT else 0]
        for device, cursor in self.acks.items():
            if state.acks.get(device) == cursor:
                state.acks_dirty.discard(device)
        state.fetched -= self.fetched
        if self.erasing == state.erasing:
            state.erasing_dirty = False
        state.dirty_since = None if state.group == self.group else self.group + 1


_RECENT = 8


class LastChunk(msgspec.Struct, frozen=True):
    """A user's last chunk, small enough to be joined with what follows."""

    chunk: int
    codec: int
    entries: list[EncodedEntry]


def load_last_chunks(connection: apsw.Connection, user_nos: Sequence[int]) -> dict[int, LastChunk]:
    """Last chunks that are small, by user."""
    keys, body = fetch(connection, _LAST_CHUNKS, (_encode(user_nos).decode(),))[0]
    result: dict[int, LastChunk] = {}
    start = 0
    view = memoryview(body or b"")
    for user_no, chunk, codec, size in msgspec.json.decode(keys):
        result[user_no] = LastChunk(chunk, codec, decode_entries(view[start : start + size]))
        start += size
    return result


_LAST_CHUNKS = f"""
SELECT json_group_array(json_array(user_no, chunk, codec, length(body)) ORDER BY chunk),
    CAST(group_concat(body, '' ORDER BY chunk) AS BLOB)
FROM (SELECT c.user_no, c.chunk, c.codec, c.body FROM json_each(?) j JOIN chunks c ON c.chunk =
        (SELECT chunk FROM chunks l WHERE l.user_no = j.value ORDER BY last_seq DESC LIMIT 1)
    WHERE length(c.body) < {SMALL_CHUNK_BYTES} AND c.last_seq - c.first_seq < {SMALL_CHUNK_ENTRIES})
"""


class Slice:
    """The rows of a few users, encoded for one transaction."""

    def __init__(self) -> None:
        self._rows: dict[str, list[Any]] = {}
        self._blob = bytearray()
        self.size = 0

    def add(self, captured: Capture, changes: Changes, last: LastChunk | None) -> None:
        """Add one user."""
        no = captured.user_no
        self._put("users", captured.row)
        self._add_chunks(captured, last)
        for mark in captured.marks:
            self._put("marks", [no, mark.epoch, mark.first_seq, mark.mark])
        for device, cursor in captured.acks.items():
            self._put("acks", [no, device, cursor])
        if captured.acks:
            self._put("delivered", [no, captured.delivered])
        for command_id, item, place in captured.inbox:
            waits = int(item.error is None)
            self._put("inbox", [no, command_id, place, waits, _pack(item).hex()])
        for command_id in captured.inbox_gone:
            self._put("inbox_gone", [no, command_id])
        for thread_id, upto in captured.erasing.items():
            self._put("erasures", [no, thread_id, upto])
        for command_id, receipt in captured.receipts.items():
            self._put("receipts", [no, command_id, receipt])
        self._add_changes(no, captured.delivered, changes)
        for run_id in captured.fetched:
            self._put("fetched", [no, run_id])

    def write(self, connection: apsw.Connection) -> None:
        """Write all of it; runs on the writer's thread."""
        blob = bytes(self._blob)
        for name, text in _WRITES:
            rows = self._texts.get(name)
            if rows is not None:
                run(connection, text, (rows, blob) if name == "chunks" else (rows,))

    def seal(self) -> None:
        """Encode the rows, on the event loop's thread; nothing may be added afterwards."""
        self._texts = {name: _encode(rows).decode() for name, rows in self._rows.items()}
        self.size = len(self._blob) + sum(map(len, self._texts.values()))

    def _put(self, table: str, row: list[Any]) -> None:
        self._rows.setdefault(table, []).append(row)

    def _add_chunks(self, captured: Capture, last: LastChunk | None) -> None:
        entries = captured.entries
        if not entries:
            return
        if last is not None and last.codec == captured.codec:
            self._put("chunks_gone", [last.chunk])
            entries = last.entries + entries
        for part in split(entries):
            body = encode_entries(part)
            self._put(
                "chunks",
                [
                    captured.user_no,
                    part[0].seq,
                    part[-1].seq,
                    captured.codec,
                    len(self._blob) + 1,
                    len(body),
                ],
            )
            self._blob += body

    def _add_changes(self, no: int, delivered: int, changes: Changes) -> None:
        for thread_id in changes.deleted:
            self._put("deleted", [no, thread_id])
        for thread_id, thread in changes.threads.items():
            self._put("threads", [no, thread_id, thread.created_ms, thread])
        for row in changes.runs.values():
            root = row.parent_run_id is None
            undelivered = root and row.last_seq is not None and row.last_seq > delivered
            self._put(
                "runs",
                [
                    no,
                    row.run_id,
                    row.thread_id,
                    row.parent_run_id,
                    row.status,
                    row.queued_ms,
                    row.ended_ms,
                    row.first_seq,
                    row.last_seq,
                    int(undelivered),
                    row,
                    row.ended_ms if root else None,
                ],
            )
        for approval in changes.approvals.values():
            self._put(
                "approvals",
                [
                    no,
                    approval.approval_id,
                    approval.run_id,
                    int(approval.decision is None),
                    approval.requested_seq,
                    approval,
                ],
            )


def split(entries: Sequence[EncodedEntry]) -> list[list[EncodedEntry]]:
    """Cut entries into chunks of about `CHUNK_BYTES`, at most `CHUNK_ENTRIES`."""
    parts: list[list[EncodedEntry]] = []
    part: list[EncodedEntry] = []
    size = 0
    for entry in entries:
        if part and (len(part) >= CHUNK_ENTRIES or size + len(entry.json) > CHUNK_BYTES):
            parts.append(part)
            part, size = [], 0
        part.append(entry)
        size += len(entry.json)
    if part:
        parts.append(part)
    return parts


def inbox_item(text: str) -> InboxItem:
    """Decode a row of the inbox, from hex."""
    return _unpack_item.decode(bytes.fromhex(text))


def activations(rows: Sequence[tuple[int, int, str]]) -> list[Activated]:
    """Newest activations as loaded, in order."""
    return [Activated(*row) for row in reversed(rows)]


def _values(count: int) -> str:
    return ", ".join(f"value ->> {number}" for number in range(count))


_FROM = "FROM json_each(?1) WHERE true"
_OF_DELETED = "(user_no, thread_id) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?1))"
_WRITES: list[tuple[str, str]] = [
    (
        "users",
        "INSERT INTO users (user_no, user, epoch, mark, head, settled_group, last_append, due_ms,"
        f" delivered) SELECT {_values(9)} {_FROM} ON CONFLICT (user_no) DO UPDATE SET"
        " epoch = excluded.epoch, mark = excluded.mark, head = excluded.head,"
        " settled_group = excluded.settled_group, last_append = excluded.last_append,"
        " due_ms = excluded.due_ms, delivered = excluded.delivered",
    ),
    (
        "chunks_gone",
        "DELETE FROM chunks WHERE chunk IN (SELECT value ->> 0 FROM json_each(?1))",
    ),
    (
        "chunks",
        "INSERT INTO chunks (user_no, first_seq, last_seq, codec, body)"
        f" SELECT {_values(4)}, substr(?2, value ->> 4, value ->> 5) {_FROM}",
    ),
    (
        "marks",
        f"REPLACE INTO marks (user_no, epoch, first_seq, mark) SELECT {_values(4)} {_FROM}",
    ),
    ("acks", f"REPLACE INTO acks (user_no, device, cursor) SELECT {_values(3)} {_FROM}"),
    (
        "inbox_gone",
        "DELETE FROM inbox WHERE (user_no, command_id) IN"
        " (SELECT value ->> 0, value ->> 1 FROM json_each(?1))",
    ),
    (
        "inbox",
        "REPLACE INTO inbox (user_no, command_id, place, waits, body)"
        f" SELECT {_values(4)}, unhex(value ->> 4) {_FROM}",
    ),
    (
        "erasures",
        f"REPLACE INTO erasures (user_no, thread_id, upto) SELECT {_values(3)} {_FROM}",
    ),
    (
        "deleted",
        f"DELETE FROM approvals WHERE (user_no, run_id) IN (SELECT user_no, run_id"
        f" FROM runs WHERE {_OF_DELETED})",
    ),
    ("deleted", f"DELETE FROM runs WHERE {_OF_DELETED}"),
    ("deleted", f"DELETE FROM threads WHERE {_OF_DELETED}"),
    (
        "receipts",
        f"REPLACE INTO receipts (user_no, command_id, body) SELECT {_values(3)} {_FROM}",
    ),
    (
        "threads",
        f"INSERT INTO threads (user_no, thread_id, created_ms, body) SELECT {_values(4)} {_FROM}"
        " ON CONFLICT (user_no, thread_id) DO UPDATE SET created_ms = excluded.created_ms,"
        " body = excluded.body",
    ),
    (
        "runs",
        "INSERT INTO runs (user_no, run_id, thread_id, parent_run_id, status, queued_ms, ended_ms,"
        " first_seq, last_seq, undelivered, body, notice_ms, pruned)"
        f" SELECT {_values(12)}, 0 {_FROM}"
        " ON CONFLICT (user_no, run_id) DO UPDATE SET status = excluded.status,"
        " ended_ms = excluded.ended_ms, last_seq = excluded.last_seq,"
        # A run that had ended before was perhaps read in a history since: that stays so.
        " undelivered = CASE WHEN runs.last_seq IS NULL THEN excluded.undelivered"
        " ELSE min(runs.undelivered, excluded.undelivered) END, body = excluded.body,"
        " notice_ms = CASE WHEN runs.last_seq IS NULL THEN excluded.notice_ms"
        " ELSE runs.notice_ms END",
    ),
    (
        "approvals",
        "REPLACE INTO approvals (user_no, approval_id, run_id, open, requested_seq, body)"
        f" SELECT {_values(6)} {_FROM}",
    ),
    (
        "delivered",
        "UPDATE runs SET undelivered = 0 FROM json_each(?1) j WHERE undelivered = 1"
        " AND runs.user_no = j.value ->> 0 AND runs.last_seq <= j.value ->> 1",
    ),
    (
        "fetched",
        "UPDATE runs SET undelivered = 0 FROM json_each(?1) j WHERE undelivered = 1"
        " AND runs.user_no = j.value ->> 0 AND runs.run_id = j.value ->> 1",
    ),
]
