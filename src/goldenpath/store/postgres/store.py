"""The store that many hosts share, each with an object of its own; see `store.interface`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from goldenpath.errors import (
    CodecError,
    GoldenpathError,
    PositionError,
    RefusedError,
    StoreOpenError,
    StoreUnavailableError,
)
from goldenpath.model.commands import body_hash
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import CommandId, DeviceId, HostId, Mark, RunId, Seq, UserId
from goldenpath.store.image import Record, read_image, write_image
from goldenpath.store.interface import (
    NOTICE_FIRST_MS,
    NOTICE_MOST_MS,
    Activation,
    Append,
    Batch,
    Claim,
    CommitStats,
    HostReport,
    HostView,
    Notice,
    Position,
    Pulse,
    StoreStatus,
    Submission,
    Watch,
)
from goldenpath.store.postgres.erase import find_prunable, prune_run
from goldenpath.store.postgres.groups import Groups
from goldenpath.store.postgres.images import read_records, write_records
from goldenpath.store.postgres.leases import Leases
from goldenpath.store.postgres.link import Job, Link, Links, translated
from goldenpath.store.postgres.log import Log, plan_once
from goldenpath.store.postgres.news import News
from goldenpath.store.postgres.reads import Reads
from goldenpath.store.postgres.retention import OldThread, erase_unused, find_old_threads
from goldenpath.store.postgres.rows import receipt_of, run_of
from goldenpath.store.postgres.schema import check_durable, check_schema, migrate
from goldenpath.store.postgres.server import TROUBLE, Connection, Server, describe

logger = logging.getLogger("goldenpath.store")

LEASE_SECONDS = 3.0
_LINKS = 4
"""Connections for what is neither an append nor a read of the log."""
_READERS = 2
_ASIDE = "goldenpath_before_restore"
FETCHED = ""
"""The device of readers that cannot acknowledge."""


class _Submitted(NamedTuple):
    user: UserId
    command_id: CommandId
    body: bytes
    now_ms: int


class _Acknowledged(NamedTuple):
    user: UserId
    device: str
    position: Position
    devices: int


async def open_store(
    url: str, *, durable: bool = True, lease_seconds: float = LEASE_SECONDS
) -> PostgresStore:
    """Open the store of a `postgresql://` URL, whose schema is there. Raises `StoreOpenError`.

    Without `durable` what was acknowledged survives the end of this process, not that of the
    database server. `lease_seconds` must be the same for all hosts.
    """
    server = Server(url, durable=durable)
    connection = await server.connect(to_read=True)
    try:
        await check_schema(connection)
        if durable:
            await check_durable(connection)
    except TROUBLE as error:
        raise StoreOpenError(f"the database cannot be used: {describe(error)}") from error
    finally:
        await connection.close()
    return PostgresStore(server, lease_seconds)


class PostgresStore(Reads):
    """See the module; made by `open_store`."""

    def __init__(self, server: Server, lease_seconds: float) -> None:
        self._links = Links(server, _LINKS)
        super().__init__(self._links)
        self.stats = CommitStats()
        self.lease_seconds: float | None = lease_seconds
        self._server = server
        self._writer = Link(server, writes=True)
        self._inbox = Link(server, writes=True)
        self._readers = [Link(server, plan_once) for _ in range(_READERS)]
        self._log = Log(self._writer, self._links, self._readers, self.stats)
        self._leases = Leases(server, lease_seconds, self._log)
        self._news = News(server, self._links, self._log, lambda: self._leases.alone)
        self._log.moved, self._log.sure = self._news.appended, self._leases.sure
        self._submitting = Groups[_Submitted, Submission](
            self._submit_many, key=lambda asked: (asked.user, asked.command_id)
        )
        self._acknowledging = Groups[_Acknowledged, None](self._acknowledge_many)
        self._closed = False

    async def close(self) -> None:
        """See `Store.close`."""
        if self._closed:
            return
        self._closed = True
        await self._submitting.close()
        await self._pending.close()
        await self._acknowledging.close()
        await self._log.close()
        await self._leases.close()
        await self._news.close()
        links = [self._writer, self._inbox, *self._readers]
        await asyncio.gather(self._links.close(), *(link.close() for link in links))

    def status(self) -> StoreStatus:
        """See `Store.status`."""
        reason = "the store is closed" if self._closed else self._server.trouble
        return StoreStatus(writable=reason is None, reason=reason)

    # -- inbox -------------------------------------------------------------------------------

    async def submit(
        self, user: UserId, command_id: CommandId, body: bytes, now_ms: int
    ) -> Submission:
        """See clauses S1, S2, S5."""
        asked = _Submitted(user, command_id, body, now_ms)
        submission = await self._submitting.ask(asked, len(body))
        if submission.state == "new":
            self._news.submitted(user)
        return submission

    async def _submit_many(self, asked: Sequence[_Submitted]) -> list[Submission | GoldenpathError]:
        rows = await self._inbox.run_here(
            lambda connection: connection.fetch(
                "SELECT * FROM goldenpath.submit_1($1, $2, $3, $4, $5)",
                [one.user for one in asked],
                [one.command_id for one in asked],
                [one.body for one in asked],
                [body_hash(one.body) for one in asked],
                [one.now_ms for one in asked],
            )
        )
        answers: dict[int, Submission | GoldenpathError] = {}
        place: int
        for place, state, body, hashed in rows:
            if state == "reused":
                answers[place] = RefusedError(
                    "id_reused",
                    f"the id {asked[place - 1].command_id} was used for another command",
                )
            else:
                receipt = None if body is None else receipt_of(body, hashed)
                answers[place] = Submission(state, receipt)
        return [answers[place] for place in range(1, len(asked) + 1)]

    # -- log ---------------------------------------------------------------------------------

    def append(self, append: Append) -> Awaitable[None]:
        """See clauses A and S4."""
        return self._log.append(append)

    async def read(
        self, user: UserId, position: Position, limit: int = 1000, max_bytes: int = 1 << 20
    ) -> Batch:
        """See clauses R."""
        return await self._log.read(user, position, limit, max_bytes)

    async def entries(
        self, user: UserId, after: Seq, limit: int = 1000
    ) -> tuple[int, list[EncodedEntry]]:
        """See `Store.entries`."""
        return await self._log.entries(user, after, limit)

    async def head(self, user: UserId) -> Position:
        """See `Store.head`."""
        return await self._log.head(user)

    def watch(self, user: UserId) -> Watch:
        """See clause R6."""
        return self._news.watch(user)

    # -- leases and demand -------------------------------------------------------------------

    async def acquire(self, user: UserId, host: HostId, mark: Mark) -> Activation:
        """See clauses L."""
        activation = await self._leases.acquire(user, host, mark)
        self._news.interested(user)
        return activation

    async def release(self, user: UserId, epoch: int) -> None:
        """See clause L4."""
        if await self._leases.release(user, epoch):
            self._news.given_back()

    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        """See `Store.renew`."""
        return await self._leases.renew(host, report)

    async def held(self, host: HostId) -> dict[UserId, int]:
        """See clause L6."""
        return await self._leases.held(host)

    async def hosts(self) -> list[HostView]:
        """See clause L7."""
        return await self._leases.hosts(self._links)

    async def ask_to_leave(self, host: HostId) -> None:
        """Have a host told by its next renewal to drain and go."""
        await self._inbox.run(
            lambda c: c.execute("UPDATE goldenpath.hosts SET leave = true WHERE host_id = $1", host)
        )

    def on_news(self, tell: Callable[[UserId | None], None]) -> None:
        """See `Store.on_news`."""
        self._news.tell = tell

    async def demand(
        self, now_ms: int, limit: int = 1000, host: HostId | None = None
    ) -> list[UserId]:
        """See clauses D and `Store.demand`."""
        alive = [] if host is None else [one for one in self._leases.alive() if one != host]
        rows = await self._rows(
            "SELECT * FROM goldenpath.demand_1($1, $2, $3, $4)", now_ms, limit, host, alive
        )
        return [row[0] for row in rows]

    async def next_due(self) -> int | None:
        """See `Store.next_due`."""
        return (await self._row("SELECT min(due_ms) FROM goldenpath.users"))[0]

    # -- receipts of delivery ----------------------------------------------------------------

    async def acknowledge(
        self, user: UserId, device: DeviceId | None, position: Position, devices: int = 50
    ) -> None:
        """See clauses K."""
        name = FETCHED if device is None else device
        await self._acknowledging.ask(_Acknowledged(user, name, position, devices))

    async def _acknowledge_many(
        self, asked: Sequence[_Acknowledged]
    ) -> list[GoldenpathError | None]:
        rows = await self._inbox.run_here(
            lambda connection: connection.fetch(
                "SELECT * FROM goldenpath.acknowledge_1($1, $2, $3, $4, $5)",
                [one.user for one in asked],
                [one.device for one in asked],
                [one.position.mark for one in asked],
                [one.position.cursor for one in asked],
                [one.devices for one in asked],
            )
        )
        valid = dict(rows)
        return [
            None if valid[place] else PositionError(f"{one.position} is not of this log")
            for place, one in enumerate(asked, 1)
        ]

    async def fetched(self, user: UserId, run_ids: Sequence[RunId]) -> None:
        """See clause K3."""
        await self._inbox.run(
            lambda c: c.execute("SELECT goldenpath.fetched_1($1, $2)", user, list(run_ids))
        )

    async def claim_notices(
        self,
        now_ms: int,
        *,
        ended_after_ms: int,
        ended_before_ms: int,
        stretch: float = 1.0,
        limit: int = 100,
    ) -> Claim:
        """See clause K4."""
        rows = await self._inbox.run(
            lambda connection: connection.fetch(
                "SELECT * FROM goldenpath.claim_notices_1($1, $2, $3, $4, $5, $6, $7)",
                now_ms, ended_after_ms, ended_before_ms,
                NOTICE_FIRST_MS, NOTICE_MOST_MS, stretch, limit,
            )
        )  # fmt: skip
        notices = [
            Notice(
                user=row["user_id"],
                thread_id=row["thread_id"],
                run_id=row["run_id"],
                agent=run_of(row["body"], b"", None).agent,
                status=row["status"],
                ended_ms=row["ended_ms"],
                attempt=row["attempt"],
                again_ms=row["again_ms"],
            )
            for row in rows
            if row["again_ms"] is not None
        ]
        return Claim(notices=notices, given_up=len(rows) - len(notices))

    async def notified(self, user: UserId, run_id: RunId) -> None:
        """See clause K5."""
        await self._inbox.run(
            lambda c: c.execute("SELECT goldenpath.notified_1($1, $2)", user, run_id)
        )

    # -- erasing and keeping -----------------------------------------------------------------

    async def prune(self, before_ms: int, *, everything: bool = False, limit: int = 100) -> int:
        """See clause E2."""
        found = await self._links.run(
            lambda c: find_prunable(c, before_ms, limit, everything=everything)
        )
        done = 0
        for user, user_no, run_id in found:
            try:
                mine = await self._links.run(
                    lambda c, item=(user_no, run_id): prune_run(c, *item, everything=everything)
                )
            except CodecError as error:  # goldenpath check names it; the others are pruned
                logger.error("run %s of user %s cannot be pruned: %s", run_id, user, error)
                continue
            if not mine:
                continue
            self._hidden(user)
            done += 1
        if everything and len(found) < limit:
            done += await self._erase_unused(before_ms, limit - len(found))
        return done

    async def _erase_unused(self, before_ms: int, limit: int) -> int:
        """Erase so many old threads that have no run, or as many as there are."""
        done = 0
        last: OldThread | None = None
        while done < limit:
            found = await self._links.run(
                lambda c, at=(last, limit - done): find_old_threads(c, before_ms, *at)
            )
            if not found:
                break
            last = found[-1]
            by_user: dict[tuple[UserId, int], list[str]] = {}
            for thread in found:
                by_user.setdefault((thread.user, thread.user_no), []).append(thread.thread_id)
            for (user, user_no), threads in by_user.items():
                try:
                    erased = await self._links.run(
                        lambda c, item=(user_no, threads): erase_unused(c, *item)
                    )
                except CodecError as error:  # as above
                    logger.error("threads of user %s cannot be erased: %s", user, error)
                    continue
                if erased:
                    self._hidden(user)
                done += erased
        return done

    def _hidden(self, user: UserId) -> None:
        self._log.forget_tail(user)
        self._news.appended(user)

    async def compact(self, *, locking: bool = True) -> None:
        """See `Store.compact`. It writes the tables anew and locks them meanwhile: for their owner,
        at a time of little traffic. The write-ahead log keeps what it has until it is recycled.
        """
        if not locking:
            return  # the database's own autovacuum does what can be done
        await self._apart(_write_anew)

    async def backup(self, target: Path) -> None:
        """See clause B1."""
        await self._apart(lambda connection: _write_copy(connection, target))

    async def _apart(self, job: Job[None]) -> None:
        """Do what may take long on a connection of its own: a link would give it up as silent."""
        connection = await self._server.connect(to_read=True)
        try:
            await job(connection)
        except TROUBLE as error:
            raise translated(error) from error
        finally:
            await connection.close()


async def _write_anew(connection: Connection) -> None:
    if not await connection.fetchval(
        "SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c"
        " WHERE c.oid = 'goldenpath.chunks'::regclass"
    ):
        # PostgreSQL would only warn, and leave everything as it is.
        role = await connection.fetchval("SELECT current_user")
        raise StoreOpenError(f"the role {role} does not own the tables: compact as their owner")
    for table in ("chunks", "threads", "runs", "approvals", "receipts", "inbox", "acks"):
        await connection.execute(f"VACUUM FULL goldenpath.{table}")


async def _write_copy(connection: Connection, target: Path) -> None:
    try:
        await write_image(read_records(connection), target)
    except OSError as error:
        raise StoreUnavailableError(f"cannot back up to {target}: {error.strerror}") from error


async def fill(url: str, records: AsyncIterator[Record]) -> int:
    """Migrate a database that holds no users, and fill it; gives how many. Raises `StoreError`."""
    await migrate(url)
    connection = await Server(url).connect()
    try:
        return await write_records(connection, records)
    except TROUBLE as error:
        raise StoreOpenError(f"the database cannot be filled: {describe(error)}") from error
    finally:
        await connection.close()


async def set_aside(url: str) -> str | None:
    """Give the schema another name, so that another can take its place; gives that name.

    Raises `StoreOpenError`, also while hosts serve it.
    """
    connection = await Server(url).connect()
    try:
        if await connection.fetchval("SELECT to_regnamespace('goldenpath')") is None:
            return None
        living = await connection.fetchval(
            "SELECT string_agg(h.host_id, ', ') FROM goldenpath.hosts h"
            " WHERE h.renewed_at > clock_timestamp() - interval '10 s'"
        )
        if living:
            raise StoreOpenError(f"hosts serve this database ({living}): stop them first")
        number = 1
        while await connection.fetchval("SELECT to_regnamespace($1)", f"{_ASIDE}_{number}"):
            number += 1
        await connection.execute(f"ALTER SCHEMA goldenpath RENAME TO {_ASIDE}_{number}")
        return f"{_ASIDE}_{number}"
    except TROUBLE as error:
        raise StoreOpenError(f"the schema cannot be set aside: {describe(error)}") from error
    finally:
        await connection.close()


async def restore(url: str, copy: Path) -> int:
    """Fill a database that holds no users with what `backup` wrote; gives how many.

    Raises `StoreOpenError`.
    """

    async def records() -> AsyncIterator[Record]:
        for record in read_image(copy):
            yield record

    return await fill(url, records())
