"""What is asked of the settled tables. Each function runs in a reader's snapshot.

A query gives one row, with all that is wanted in it: see `threads` for why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import apsw
import msgspec

from goldenpath.model.commands import Receipt
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import UserId
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.chunks import bounded, decode_entries
from goldenpath.store.sqlite.sql import one

_encode = msgspec.json.Encoder().encode
_threads = msgspec.json.Decoder(list[ThreadRow])
_runs = msgspec.json.Decoder(list[RunRow])
_approvals = msgspec.json.Decoder(list[ApprovalRow])


class LoadedUser(msgspec.Struct, frozen=True, array_like=True):
    """A row of `users` with what memory keeps beside it."""

    user: str
    user_no: int
    epoch: int
    mark: str
    head: int
    settled_group: int
    last_append: str | None
    due_ms: int | None
    delivered: int
    marks: list[tuple[int, int, str]]
    """(epoch, first seq, mark) of the newest activations, newest first."""
    inbox: list[tuple[int, str, str]]
    """(place, command id, body in hex) in order of place."""
    acks: list[tuple[str, int]]
    erasures: list[tuple[str, int]]


_users = msgspec.json.Decoder(list[LoadedUser])
RECENT_MARKS = 4


def load_users(connection: apsw.Connection, users: Sequence[str]) -> list[LoadedUser]:
    """Load those of `users` that are in the settled tables."""
    return _users.decode(one(connection, _LOAD_USERS, (_encode(users).decode(),)))


_LOAD_USERS = f"""
SELECT json_group_array(json_array(
    u.user, u.user_no, u.epoch, u.mark, u.head, u.settled_group, u.last_append, u.due_ms,
    u.delivered,
    json((SELECT json_group_array(json_array(epoch, first_seq, mark)) FROM (
        SELECT epoch, first_seq, mark FROM marks m WHERE m.user_no = u.user_no
        ORDER BY epoch DESC LIMIT {RECENT_MARKS}))),
    json((SELECT json_group_array(json_array(place, command_id, hex(body)) ORDER BY place)
        FROM inbox i WHERE i.user_no = u.user_no)),
    json((SELECT json_group_array(json_array(device, cursor))
        FROM acks a WHERE a.user_no = u.user_no)),
    json((SELECT json_group_array(json_array(thread_id, upto))
        FROM erasures e WHERE e.user_no = u.user_no))))
FROM json_each(?) j JOIN users u ON u.user = j.value
"""


def find_receipts(
    connection: apsw.Connection, wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], Receipt]:
    """Receipts by (user, command id)."""
    text = one(connection, _FIND_RECEIPTS, (_encode(wanted).decode(),))
    rows = msgspec.json.decode(text, type=list[tuple[str, Receipt]])
    return {(user, receipt.command_id): receipt for user, receipt in rows}


_FIND_RECEIPTS = """
SELECT json_group_array(json_array(u.user, json(r.body)))
FROM json_each(?) j
JOIN users u ON u.user = j.value ->> 0
JOIN receipts r ON r.user_no = u.user_no AND r.command_id = j.value ->> 1
"""


# The log


class Settled(msgspec.Struct, frozen=True):
    """Settled entries after a cursor, and the marks that belong to them."""

    head: int
    """Head of what is settled: later entries are elsewhere."""
    codec: int
    entries: list[EncodedEntry]
    mark: str | None
    """Of the activation that wrote the last one; None without entries or activations."""
    position_last: int
    """Last seq of the position's activation as far as it is settled; -1 if it is unknown."""


def read_settled(
    connection: apsw.Connection,
    user_no: int,
    after: int,
    *,
    limit: int,
    max_bytes: int,
    mark: str,
) -> Settled:
    """Read whole chunks until they hold `limit` entries or about `max_bytes`."""
    head = one(connection, "SELECT head FROM users WHERE user_no = ?", (user_no,)) or 0
    position_last = _position_last(connection, user_no, mark, head)
    chosen = _choose_chunks(connection, user_no, after, limit, max_bytes)
    entries: list[EncodedEntry] = []
    codec = 0
    if chosen:
        codec = chosen[0][1]
        body: bytes = one(connection, _CHUNKS, (user_no, after, len(chosen)))
        view, start = memoryview(body), 0
        for size, _ in chosen:
            entries += decode_entries(view[start : start + size])
            start += size
        skip = after + 1 - entries[0].seq
        entries = bounded(entries[skip if skip > 0 else 0 :][:limit], max_bytes)
    written = mark_of(connection, user_no, entries[-1].seq) if entries else None
    return Settled(head, codec, entries, written, position_last)


def _choose_chunks(
    connection: apsw.Connection, user_no: int, after: int, limit: int, max_bytes: int
) -> list[tuple[int, int]]:
    # (size, codec) of the chunks to read: of one codec, at least one.
    text = one(connection, _CHUNK_SIZES, (user_no, after, 2 + limit // 4))
    sizes = msgspec.json.decode(text, type=list[tuple[int, int, int, int]])
    chosen: list[tuple[int, int]] = []
    total = 0
    for first_seq, last_seq, codec, size in sizes:
        if chosen and (codec != chosen[0][1] or total >= max_bytes or first_seq > after + limit):
            break
        part = (last_seq - max(after, first_seq - 1)) / (last_seq - first_seq + 1)
        total += int(size * part)
        chosen.append((size, codec))
    return chosen


_CHUNK_SIZES = """
SELECT json_group_array(json_array(first_seq, last_seq, codec, size) ORDER BY last_seq) FROM (
    SELECT first_seq, last_seq, codec, length(body) AS size FROM chunks
    WHERE user_no = ? AND last_seq > ? ORDER BY last_seq LIMIT ?)
"""
# group_concat makes a text of the blobs without looking at their bytes; the cast gives them back.
_CHUNKS = """
SELECT CAST(group_concat(body, '' ORDER BY last_seq) AS BLOB) FROM (
    SELECT body, last_seq FROM chunks WHERE user_no = ? AND last_seq > ?
    ORDER BY last_seq LIMIT ?)
"""


def mark_of(connection: apsw.Connection, user_no: int, seq: int) -> str | None:
    """Mark of the activation that wrote a settled entry."""
    return one(
        connection,
        "SELECT mark FROM marks WHERE user_no = ? AND first_seq <= ?"
        " ORDER BY first_seq DESC, epoch DESC LIMIT 1",
        (user_no, seq),
    )


def _position_last(connection: apsw.Connection, user_no: int, mark: str, head: int) -> int:
    last: int | None = one(
        connection,
        "SELECT coalesce((SELECT first_seq - 1 FROM marks n WHERE n.user_no = m.user_no"
        " AND n.epoch > m.epoch ORDER BY n.epoch LIMIT 1), ?2)"
        " FROM marks m WHERE m.user_no = ?1 AND m.mark = ?3",
        (user_no, head, mark),
    )
    return -1 if last is None else last


# Rows of the projections. All lists are as JSON arrays of their bodies.

_LIST = "SELECT '[' || coalesce(group_concat(body, ',' ORDER BY {order}), '') || ']' FROM ({rows})"


def _list(rows: str, order: str) -> str:
    return _LIST.format(order=order, rows=rows)


_THREADS = _list(
    "SELECT body, created_ms, thread_id FROM threads WHERE user_no = ?1"
    " AND (created_ms, thread_id) < (?2, ?3) ORDER BY created_ms DESC, thread_id DESC LIMIT ?4",
    "created_ms DESC, thread_id DESC",
)
_RUNS_OF_THREAD = _list(
    "SELECT body, first_seq FROM runs WHERE user_no = ?1 AND thread_id = ?2 AND first_seq < ?3"
    " AND parent_run_id IS NULL ORDER BY first_seq DESC LIMIT ?4",
    "first_seq DESC",
)
_OPEN_RUNS = _list(
    # Without the hint SQLite scans all of the user's runs by another index.
    "SELECT body, first_seq FROM runs INDEXED BY runs_open WHERE user_no = ?1 AND last_seq IS NULL",
    "first_seq",
)
_OPEN_APPROVALS = _list(
    "SELECT body, requested_seq FROM approvals WHERE user_no = ?1 AND open = 1", "requested_seq"
)
_SOME_THREADS = _list(
    "SELECT body FROM threads WHERE user_no = ?1"
    " AND thread_id IN (SELECT value FROM json_each(?2))",
    "1",
)
_SOME_RUNS = _list(
    "SELECT body FROM runs WHERE user_no = ?1 AND run_id IN (SELECT value FROM json_each(?2))",
    "1",
)
_SOME_APPROVALS = _list(
    "SELECT body FROM approvals WHERE user_no = ?1"
    " AND approval_id IN (SELECT value FROM json_each(?2))",
    "1",
)
LAST_MS = 1 << 62
"""After every time and every seq."""


def settled_head(connection: apsw.Connection, user_no: int) -> int:
    """Head of what is settled of a user."""
    return one(connection, "SELECT head FROM users WHERE user_no = ?", (user_no,)) or 0


def settled_group(connection: apsw.Connection, user_no: int) -> int:
    """Last commit group that is settled of a user."""
    return one(connection, "SELECT settled_group FROM users WHERE user_no = ?", (user_no,)) or 0


def newest_threads(
    connection: apsw.Connection, user_no: int, before: tuple[int, str] | None, limit: int
) -> list[ThreadRow]:
    """Newest first."""
    created_ms, thread_id = before or (LAST_MS, "")
    return _threads.decode(one(connection, _THREADS, (user_no, created_ms, thread_id, limit)))


def runs_of_thread(
    connection: apsw.Connection, user_no: int, thread_id: str, before: int | None, limit: int
) -> list[RunRow]:
    """Root runs of a thread, newest first."""
    values = (user_no, thread_id, LAST_MS if before is None else before, limit)
    return _runs.decode(one(connection, _RUNS_OF_THREAD, values))


def open_runs(connection: apsw.Connection, user_no: int) -> list[RunRow]:
    """Open runs of a user, oldest first."""
    return _runs.decode(one(connection, _OPEN_RUNS, (user_no,)))


def open_approvals(connection: apsw.Connection, user_no: int) -> list[ApprovalRow]:
    """Open approvals of a user, oldest first."""
    return _approvals.decode(one(connection, _OPEN_APPROVALS, (user_no,)))


def _ids(ids: Iterable[str]) -> str:
    return _encode(list(ids)).decode()


def some_threads(connection: apsw.Connection, user_no: int, ids: Iterable[str]) -> list[ThreadRow]:
    """Those of these threads that there are."""
    return _threads.decode(one(connection, _SOME_THREADS, (user_no, _ids(ids))))


def some_runs(connection: apsw.Connection, user_no: int, ids: Iterable[str]) -> list[RunRow]:
    """Those of these runs that there are."""
    return _runs.decode(one(connection, _SOME_RUNS, (user_no, _ids(ids))))


def some_approvals(
    connection: apsw.Connection, user_no: int, ids: Iterable[str]
) -> list[ApprovalRow]:
    """Those of these approvals that there are."""
    return _approvals.decode(one(connection, _SOME_APPROVALS, (user_no, _ids(ids))))


_ROOT_RUNS = _list(
    "SELECT body, first_seq FROM runs WHERE user_no = ? AND first_seq < ?"
    " AND parent_run_id IS NULL ORDER BY first_seq DESC LIMIT ?",
    "first_seq DESC",
)


def root_runs(connection: apsw.Connection, user_no: int, before: int, limit: int) -> list[RunRow]:
    """Root runs of a user, newest first."""
    return _runs.decode(one(connection, _ROOT_RUNS, (user_no, before, limit)))


def runs_of_user(
    connection: apsw.Connection, user_no: int, status: str | None, limit: int
) -> list[RunRow]:
    """Runs of a user, newest first."""
    rows = (
        "SELECT body, first_seq FROM runs WHERE user_no = ?1 AND (?2 IS NULL OR status = ?2)"
        " ORDER BY first_seq DESC LIMIT ?3"
    )
    return _runs.decode(one(connection, _list(rows, "first_seq DESC"), (user_no, status, limit)))


# All users

_user_runs = msgspec.json.Decoder(list[tuple[UserId, RunRow]])
_USER_RUNS = (
    "SELECT '[' || coalesce(group_concat(json_array(u.user, json(r.body)), ',' ORDER BY r.place),"
    " '') || ']' FROM (SELECT user_no, body, row_number() OVER () AS place FROM ({rows})) r"
    " JOIN users u USING (user_no)"
)


def newest_runs(
    connection: apsw.Connection, status: str | None, limit: int
) -> list[tuple[UserId, RunRow]]:
    """Runs of all users, newest first."""
    rows = (
        "SELECT user_no, body FROM runs WHERE (?1 IS NULL OR status = ?1)"
        " ORDER BY queued_ms DESC, run_id DESC LIMIT ?2"
    )
    return _user_runs.decode(one(connection, _USER_RUNS.format(rows=rows), (status, limit)))


def undelivered_runs(connection: apsw.Connection, limit: int) -> list[tuple[UserId, RunRow]]:
    """Ended root runs that nobody is known to have read."""
    rows = "SELECT user_no, body FROM runs WHERE undelivered = 1 LIMIT ?1"
    return _user_runs.decode(one(connection, _USER_RUNS.format(rows=rows), (limit,)))


def list_users(connection: apsw.Connection, after: str, limit: int) -> list[UserId]:
    """Users in order of id."""
    text = one(
        connection,
        "SELECT json_group_array(user ORDER BY user) FROM"
        " (SELECT user FROM users WHERE user > ? ORDER BY user LIMIT ?)",
        (after, limit),
    )
    return msgspec.json.decode(text, type=list[UserId])
