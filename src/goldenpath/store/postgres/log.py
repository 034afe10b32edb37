"""Users' logs: appends in groups, reads in groups, and the tail that this host wrote itself."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from goldenpath.errors import (
    CodecError,
    GoldenpathError,
    PositionError,
    StoreRefusedError,
)
from goldenpath.model.entries import CODEC_VERSION, EncodedEntry, Entry, decode
from goldenpath.model.ids import ORIGIN_MARK, Mark, Seq, UserId
from goldenpath.model.projections import PROJECTING
from goldenpath.store.chunks import (
    WHOLE_USER,
    bounded,
    decode_entries,
    encode_entries,
    without,
)
from goldenpath.store.interface import Append, Batch, CommitStats, Position
from goldenpath.store.postgres.appends import Write, statement
from goldenpath.store.postgres.erase import rewrite_chunks
from goldenpath.store.postgres.groups import Groups
from goldenpath.store.postgres.link import Link, Links
from goldenpath.store.postgres.own import OwnLog, batch_of
from goldenpath.store.postgres.rows import (
    Missing,
    approval_of,
    run_of,
    thread_of,
)
from goldenpath.store.postgres.server import Connection

_ENTRY_BYTES = 4 * 1024 * 1024
"""About what one call of `entries` gives at most."""


@dataclass(slots=True)
class _Question:
    """A read on its way."""

    user: UserId
    position: Position
    limit: int
    max_bytes: int


class Log:
    """See the module."""

    moved: Callable[[UserId], None]
    """Is told of users whose log has grown here."""
    sure: Callable[[], bool]
    """True while nobody else can have written what is written here."""

    def __init__(
        self,
        writer: Link,
        links: Links,
        readers: Sequence[Link],
        stats: CommitStats,
    ) -> None:
        self._links = links
        self._writer = writer
        self._stats = stats
        self._own: dict[UserId, OwnLog] = {}
        self._appends = Groups[Write, Any](self._send, key=lambda write: write.own.user_no)
        self._free_readers = list(readers)
        self._reads = Groups[_Question, Batch](self._read_many, flights=len(readers))

    # -- what is known of users --------------------------------------------------------------

    def begun(self, own: OwnLog) -> None:
        """An activation began here."""
        self._own[own.user] = own

    def ended(self, user: UserId) -> None:
        """An activation ended, or is not sure any more."""
        self._own.pop(user, None)

    @property
    def users(self) -> Collection[UserId]:
        """Whose log is written here."""
        return self._own.keys()

    def heads(self, users: Iterable[UserId]) -> dict[UserId, tuple[Mark, int]]:
        """Mark and head of those of these users whose log is written here."""
        own = ((user, self._own.get(user)) for user in users)
        return {user: (log.mark, log.head) for user, log in own if log is not None}

    def forget_tail(self, user: UserId) -> None:
        """Something in the log was hidden."""
        own = self._own.get(user)
        if own is not None:
            own.forget_tail()

    # -- appending ---------------------------------------------------------------------------

    def append(self, append: Append) -> Awaitable[None]:
        """See clauses A and S4."""
        own = self._own.get(append.user)
        if own is not None and own.head == append.head and not _erases(append):
            with suppress(StoreRefusedError, CodecError):  # raised where it is awaited
                entries = _checked(append)
                if not own.rows.missing(entries):  # the hot path: no task, no other round trip
                    write = self._prepared(append, entries, own)
                    return self._appends.ask(write, len(write.body))
        return self._append(append)

    async def _append(self, append: Append) -> None:
        entries = _checked(append)
        own = self._own.get(append.user)
        if own is None or own.head != append.head:
            own = await self._links.run(lambda c: _known(c, append))
            if own is None:
                raise StoreRefusedError(f"append refused: there is no log of {append.user!r}")
        missing = own.rows.missing(entries)
        if missing:
            await self._load(own, missing)
        write = self._prepared(append, entries, own)
        if not _erases(append):
            await self._appends.ask(write, len(write.body))
            return
        ((outcome, *has),) = await self._links.run(lambda c: _write_erasing(c, write))
        error = self._landed(write, outcome, has)
        if error is not None:
            raise error

    async def _load(self, own: OwnLog, missing: Missing) -> None:
        threads, runs, approvals = await self._links.run(lambda c: _load(c, own.user_no, missing))
        own.rows.add(threads, runs, approvals)
        own.rows.found_none(missing)

    @staticmethod
    def _prepared(append: Append, entries: Sequence[Entry], own: OwnLog) -> Write:
        changes = own.rows.fold(entries, anew=append.erase_user)
        erasing = dict.fromkeys(append.erase_threads, int(append.head))
        if append.erase_user:
            erasing[WHOLE_USER] = append.head  # type: ignore[index]
        body = encode_entries(append.entries)
        return Write(append, own, body, changes, erasing)  # type: ignore[arg-type]

    async def _send(self, writes: Sequence[Write]) -> list[GoldenpathError | None]:
        began = time.perf_counter()
        call = statement(writes)
        rows = await self._writer.run_here(lambda c: c.fetch(*call))
        self._count(len(writes), time.perf_counter() - began)
        answers = {row[0]: row for row in rows}
        return [
            self._landed(write, row[1], row[2:]) if row is not None
            else self._landed(write, "applied", ())
            for write, row in ((write, answers.get(write.own.user_no)) for write in writes)
        ]  # fmt: skip

    def _count(self, size: int, seconds: float) -> None:
        stats = self._stats
        stats.groups += 1
        stats.operations += size
        stats.seconds += seconds
        stats.last_seconds = seconds
        stats.last_size = size

    def _landed(self, write: Write, outcome: str, has: Sequence[Any]) -> GoldenpathError | None:
        append, own = write.append, write.own
        if outcome == "refused":
            if self._own.get(append.user) is own:
                self.ended(append.user)
            return StoreRefusedError(
                f"append of epoch {append.epoch} at {append.head} refused: the log is in epoch "
                f"{has[0]} at {has[2]}"
            )
        if own.head == append.head:  # else it is a repeat of one that landed here
            own.accepted(append.entries, write.changes, anew=append.erase_user)
            if write.erasing:
                own.forget_tail()
        self.moved(append.user)
        return None

    # -- reading -----------------------------------------------------------------------------

    async def read(self, user: UserId, position: Position, limit: int, max_bytes: int) -> Batch:
        """See clauses R."""
        own = self._own.get(user)
        if own is not None and self.sure():
            batch = own.read(position, limit, max_bytes)
            if batch is not None:
                return batch
        return await self._reads.ask(_Question(user, position, limit, max_bytes))

    async def _read_many(self, asked: Sequence[_Question]) -> list[Batch | GoldenpathError]:
        link = self._free_readers.pop()
        try:
            rows = await link.run_here(
                lambda connection: connection.fetch(
                    _READ,
                    [one.user for one in asked],
                    [one.position.mark for one in asked],
                    [one.position.cursor for one in asked],
                    [one.limit for one in asked],
                    [one.max_bytes for one in asked],
                )
            )
        finally:
            self._free_readers.append(link)
        found: list[list[Any]] = [[] for _ in asked]
        for row in rows:
            found[row[0] - 1].append(row)
        return [_answer(one, rows) for one, rows in zip(asked, found, strict=True)]

    async def entries(self, user: UserId, after: int, limit: int) -> tuple[int, list[EncodedEntry]]:
        """See `Store.entries`."""
        rows = await self._links.run(
            lambda connection: connection.fetch(
                "SELECT c.codec, c.body FROM goldenpath.chunks c JOIN goldenpath.users u"
                " ON u.user_no = c.user_no WHERE u.user_id = $1 AND c.last_seq > $2"
                " ORDER BY c.last_seq LIMIT $3",
                user,
                after,
                min(limit, 2000),
            )
        )
        if not rows:
            return CODEC_VERSION, []
        codec = rows[0][0]
        entries: list[EncodedEntry] = []
        size = 0
        for row in rows:
            if row[0] != codec or size >= _ENTRY_BYTES or len(entries) >= limit:
                break
            entries += [entry for entry in decode_entries(row[1]) if entry.seq > after]
            size += len(row[1])
        return codec, entries[:limit]

    async def head(self, user: UserId) -> Position:
        """See `Store.head`."""
        return await self._links.run(lambda connection: head_of(connection, user))

    async def close(self) -> None:
        """Finish what was begun."""
        await self._appends.close()
        await self._reads.close()


async def plan_once(connection: Connection) -> None:
    """Prepare a connection that reads: to plan `read_1` takes three times as long as to run it."""
    await connection.execute("SET plan_cache_mode = force_generic_plan")


async def head_of(connection: Connection, user: UserId) -> Position:
    """The last entry's position."""
    row = await connection.fetchrow(
        "SELECT u.head, c.mark FROM goldenpath.users u LEFT JOIN goldenpath.chunks c"
        " ON c.user_no = u.user_no AND c.last_seq = u.head WHERE u.user_id = $1",
        user,
    )
    if row is None or row[1] is None:
        return Position(ORIGIN_MARK, Seq(0))
    return Position(Mark(row[1]), Seq(row[0]))


def _erases(append: Append) -> bool:
    return bool(append.erase_threads) or append.erase_user


def _checked(append: Append) -> list[Entry]:
    """The entries that the projections need. Raises `StoreRefusedError`, `CodecError`."""
    for number, entry in enumerate(append.entries, append.head + 1):
        if entry.seq != number:
            raise StoreRefusedError(f"append refused: entry {entry.seq} where {number} must be")
    return [decode(entry) for entry in append.entries if entry.type in PROJECTING]


def _answer(asked: _Question, rows: Sequence[Any]) -> Batch | GoldenpathError:
    _, valid, _, head, *_ = rows[0]
    mark, cursor = asked.position
    if not valid:
        return PositionError(f"({mark}, {cursor}) is not a position of this log")
    entries: list[EncodedEntry] = []
    to_mark = mark
    try:
        for row in rows:
            if row[7] is None or len(entries) >= asked.limit:
                break
            entries += [entry for entry in decode_entries(row[7]) if entry.seq > cursor]
            to_mark = row[6]
    except CodecError as error:
        return error
    entries = bounded(entries[: asked.limit], asked.max_bytes)
    for row in rows:  # a bound may have cut what the last chunks hold
        if entries and row[4] is not None and row[4] <= entries[-1].seq:
            to_mark = row[6]
    return batch_of(asked.position, entries, to_mark, head)


# -- statements ------------------------------------------------------------------------------

_READ = "SELECT * FROM goldenpath.read_1($1, $2, $3, $4, $5)"


async def _known(connection: Connection, append: Append) -> OwnLog | None:
    """What is needed to append to a log of which this host knows nothing."""
    row = await connection.fetchrow(
        "SELECT user_no, mark, head FROM goldenpath.users WHERE user_id = $1", append.user
    )
    if row is None:
        return None
    # Rows are loaded as they are now: if the head is another one, the append will be refused.
    return OwnLog(append.user, row[0], Mark(row[1]), row[2])


async def _load(
    connection: Connection, user_no: int, missing: Missing
) -> tuple[list[Any], list[Any], list[Any]]:
    threads = await connection.fetch(
        "SELECT body FROM goldenpath.threads WHERE user_no = $1 AND thread_id = ANY ($2)",
        user_no, list(missing.threads),
    )  # fmt: skip
    runs = await connection.fetch(
        "SELECT body, question, output FROM goldenpath.runs"
        " WHERE user_no = $1 AND run_id = ANY ($2)",
        user_no, list(missing.runs),
    )  # fmt: skip
    approvals = await connection.fetch(
        "SELECT body FROM goldenpath.approvals WHERE user_no = $1 AND approval_id = ANY ($2)",
        user_no, list(missing.approvals),
    )  # fmt: skip
    return (
        [thread_of(row[0]) for row in threads],
        [run_of(*row) for row in runs],
        [approval_of(row[0]) for row in approvals],
    )


async def _write_erasing(connection: Connection, write: Write) -> list[Sequence[Any]]:
    """An append that erases: chunks are rewritten and rows go in its own transaction."""
    append, user_no = write.append, write.own.user_no
    async with connection.transaction():
        row = await connection.fetchrow(
            "SELECT epoch, mark, head, last_append FROM goldenpath.users WHERE user_no = $1"
            " FOR NO KEY UPDATE",
            user_no,
        )
        if row[3] == append.append_id:
            return [("repeated", *row[:3])]
        if (row[0], row[1], row[2]) != (append.epoch, append.mark, append.head):
            return [("refused", *row[:3])]
        await rewrite_chunks(
            connection, user_no, 0, append.head, lambda chunk: without(chunk, write.erasing)
        )
        if append.erase_user:
            for table in ("runs", "threads", "approvals", "acks"):
                await connection.execute(
                    f"DELETE FROM goldenpath.{table} WHERE user_no = $1", user_no
                )
            await connection.execute(
                "UPDATE goldenpath.receipts SET body_hash = NULL WHERE user_no = $1", user_no
            )
            await connection.execute(
                "DELETE FROM goldenpath.inbox WHERE user_no = $1 AND refusal IS NOT NULL", user_no
            )
        answers = await connection.fetch(*statement([write]))
        return [tuple(row)[1:] for row in answers] or [("applied",)]
