"""Connections that come back: each does one job after the other, and no job is ever cancelled.

A commit whose caller has gone goes on, and so does one that the database is slow to answer: to ask
it to cancel would make its outcome unknown. Only a connection that has been silent for long is
given up, and then the outcome is unknown indeed: `StoreUnavailableError`, for the caller to ask
again with the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import asyncpg

from goldenpath.errors import CodecError, StoreError, StoreOpenError, StoreUnavailableError

T = TypeVar("T")
Connection = Any
"""An asyncpg connection, which has no types of its own to speak of."""
Job = Callable[[Connection], Awaitable[T]]
Prepare = Callable[[Connection], Awaitable[None]]

logger = logging.getLogger("goldenpath.store")

TROUBLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a driver raises when a database or the way to it fails."""
CONNECT_SECONDS = 5.0
"""For each of the hosts that a connection string names."""
SILENCE_SECONDS = 30.0
"""After so long without an answer a connection is given up."""
_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 2.0
_PEER_MS = 10_000
"""A peer that acknowledges nothing for so long is gone (TCP_USER_TIMEOUT)."""
_WAIT_SECONDS = 10.0
"""For a connection out of the pool, when all are busy."""


class Server:
    """Where to connect; it remembers the newest timeline that it has seen.

    A primary that was replaced and comes back has an older timeline: what it says is of the past,
    and what it accepts would be lost.
    """

    def __init__(self, url: str, *, durable: bool = True) -> None:
        self._url = url
        self._settings = {"application_name": "goldenpath", "jit": "off"}
        if not durable:
            self._settings["synchronous_commit"] = "off"
        self.trouble: str | None = None
        """Why nothing can be written; None when the last write that was tried succeeded."""
        self.errors = 0
        """How often it did not answer, or not as it should."""
        self.era = 0
        """Counts the timelines that were seen: what was known in an older one may be lost."""
        self._timelines: dict[str, int] = {}
        self._pause = _FIRST_PAUSE_S
        self._not_before = 0.0

    async def connect(self, *, to_read: bool = False) -> Connection:
        """Open a connection to the server that can be written to. Raises `StoreOpenError`.

        `to_read`: if there is none, one to a primary that cannot be written to. A standby is never
        asked: it may lag, and would tell a reader that what it has seen does not exist.
        """
        try:
            try:
                connection = await self._connect("read-write")
            except asyncpg.TargetServerAttributeNotMatched:
                if not to_read:
                    raise
                connection = await self._connect("primary")
        except TROUBLE as error:
            raise StoreOpenError(f"PostgreSQL cannot be reached: {describe(error)}") from error
        except ValueError as error:  # of the URL's parts
            raise StoreOpenError(f"the URL of PostgreSQL cannot be used: {error}") from error
        try:
            _watch_peer(connection)
            await self._check_timeline(connection)
        except TROUBLE as error:
            connection.terminate()
            raise StoreOpenError(f"PostgreSQL cannot be used: {describe(error)}") from error
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _connect(self, kind: str) -> Connection:
        return await cast("Any", asyncpg).connect(
            self._url,
            timeout=CONNECT_SECONDS,
            target_session_attrs=kind,
            server_settings=self._settings,
        )

    async def _check_timeline(self, connection: Connection) -> None:
        row = await connection.fetchrow(
            "SELECT system_identifier::text AS system, substr(pg_walfile_name("
            "pg_current_wal_insert_lsn()), 1, 8) AS timeline FROM pg_control_system()"
        )
        system, timeline = row["system"], int(row["timeline"], 16)
        newest = self._timelines.get(system, 0)
        if timeline < newest:
            raise StoreOpenError(
                f"this PostgreSQL is an old primary (timeline {timeline}, {newest} was seen): "
                "stop it, and make it a standby of the new one"
            )
        if timeline > newest:
            self._timelines[system] = timeline
            self.era += 1

    async def reconnect(self, *, to_read: bool) -> Connection:
        """`connect`, but not more often than a database that is down can bear."""
        loop = asyncio.get_running_loop()
        if (early := self._not_before - loop.time()) > 0:
            await asyncio.sleep(early)
        try:
            connection = await self.connect(to_read=to_read)
        except StoreOpenError:
            self._not_before = loop.time() + self._pause
            self._pause = min(self._pause * 2, _LAST_PAUSE_S)
            raise
        self._pause, self._not_before = _FIRST_PAUSE_S, 0.0
        return connection


def _watch_peer(connection: Connection) -> None:
    # A machine that has gone answers nothing: without this a write would wait for many minutes.
    transport = connection._transport
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3),
                            ("TCP_USER_TIMEOUT", _PEER_MS)):  # fmt: skip
            option = getattr(socket, name, None)
            if option is not None:
                peer.setsockopt(socket.IPPROTO_TCP, option, value)


class Link:
    """One connection, opened when it is needed and anew after it broke; one job at a time.

    `writes`: what becomes of its jobs tells whether the store can be written to.
    """

    def __init__(
        self, server: Server, prepare: Prepare | None = None, *, writes: bool = False
    ) -> None:
        self._server = server
        self._prepare = prepare
        self._writes = writes
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._era = 0
        self._closed = False
        self._warned: str | None = None
        self._jobs: set[asyncio.Task[Any]] = set()

    async def run(self, job: Job[T]) -> T:
        """Do a job; it goes on if the caller goes away. Raises `StoreError`, `CodecError`."""
        task = asyncio.create_task(self._run(job))
        self._jobs.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone

    async def _run(self, job: Job[T]) -> T:
        async with self._turn:
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            try:
                result = await self._do(job)
            except StoreUnavailableError as error:
                self._server.errors += 1
                if self._writes:
                    self._server.trouble = str(error)
                raise
            if self._writes:
                self._server.trouble = None
            return result

    async def _do(self, job: Job[T]) -> T:
        connection = await self._opened()
        silence = asyncio.get_running_loop().call_later(SILENCE_SECONDS, connection.terminate)
        self._warned = None
        try:
            result = await job(connection)
        except (StoreError, CodecError):
            raise
        except TROUBLE as error:
            await self._after(connection, error)
            raise translated(error) from error
        except BaseException:
            connection.terminate()  # in the middle of something: nobody can go on with it
            raise
        finally:
            silence.cancel()
        if self._warned is not None:
            # A commit that did not wait for its standby is reported as one that did.
            raise StoreUnavailableError(f"the outcome is not known: {self._warned}")
        return result

    async def _opened(self) -> Connection:
        if self._connection is not None and self._era != self._server.era:
            self._connection.terminate()  # it may lead to an old primary
        if self._connection is None or self._connection.is_closed():
            try:
                connection = await self._server.reconnect(to_read=not self._writes)
            except StoreOpenError as error:
                raise StoreUnavailableError(str(error)) from error
            try:
                connection.add_log_listener(self._logged)
                if self._prepare is not None:
                    await self._prepare(connection)
            except TROUBLE as error:
                connection.terminate()
                raise translated(error) from error
            self._connection = connection
            self._era = self._server.era
        return self._connection

    def _logged(self, _: Connection, message: Any) -> None:
        if message.severity_en == "WARNING":
            self._warned = str(message.message)
            logger.warning("PostgreSQL: %s", message.message)

    async def _after(self, connection: Connection, error: Exception) -> None:
        """Keep a connection that is well; one that is not, or of a server that became a standby,
        is replaced before the next job."""
        if connection.is_closed():
            return
        of_statement = isinstance(error, asyncpg.PostgresError)
        if not of_statement or getattr(error, "sqlstate", "") == "25006":
            connection.terminate()
        elif connection.is_in_transaction():
            try:
                await connection.execute("ROLLBACK")
            except TROUBLE:
                connection.terminate()

    async def close(self) -> None:
        """Finish what was begun, and close the connection."""
        self._closed = True
        while self._jobs:
            await asyncio.wait(set(self._jobs))
        if self._connection is not None and not self._connection.is_closed():
            with contextlib.suppress(*TROUBLE):
                await self._connection.close(timeout=2)


class Links:
    """A few links for jobs that do not wait for one another."""

    def __init__(self, server: Server, count: int) -> None:
        self._all = [Link(server) for _ in range(count)]
        self._free = list(self._all)
        self._waiting: deque[asyncio.Future[Link]] = deque()

    async def run(self, job: Job[T]) -> T:
        """Do a job on one that is free. Raises `StoreUnavailableError` if none is for long."""
        link = self._free.pop() if self._free else await self._next()
        task = asyncio.ensure_future(link.run(job))
        # The caller may go away: the link is free when the job has ended, not before.
        task.add_done_callback(lambda _: self._give_back(link))
        return await asyncio.shield(task)

    async def _next(self) -> Link:
        future: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await asyncio.wait({future}, timeout=_WAIT_SECONDS)
        except asyncio.CancelledError:
            if future.done():
                self._give_back(future.result())
            future.cancel()
            raise
        if not future.done():
            future.cancel()
            raise StoreUnavailableError(
                f"all {len(self._all)} connections to PostgreSQL have been busy for "
                f"{_WAIT_SECONDS:.0f} s"
            )
        return future.result()

    def _give_back(self, link: Link) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(link)
                return
        self._free.append(link)

    async def close(self) -> None:
        """See `Link.close`."""
        await asyncio.gather(*(link.close() for link in self._all))


def describe(error: BaseException) -> str:
    """An error of PostgreSQL's or the network's in one line."""
    code = getattr(error, "sqlstate", None)
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text} ({code})" if code else text


_OF_DATA = ("22", "54")
"""Classes of SQLSTATE: a value, or its size, that PostgreSQL cannot hold."""
_OF_SCHEMA = ("42",)


def translated(error: Exception) -> StoreError | CodecError:
    """What an error means to a caller of the store."""
    code = getattr(error, "sqlstate", None) or ""
    if code.startswith(_OF_DATA) or isinstance(error, asyncpg.DataError):
        return CodecError(f"it cannot be stored: {describe(error)}")
    if code.startswith(_OF_SCHEMA):
        return StoreUnavailableError(
            f"PostgreSQL refuses it: {describe(error)}; goldenpath migrate brings schema and "
            "privileges up to date"
        )
    return StoreUnavailableError(f"PostgreSQL does not answer: {describe(error)}")
