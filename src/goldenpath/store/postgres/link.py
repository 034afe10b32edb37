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
from collections import deque
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeVar

import asyncpg

from goldenpath.errors import CodecError, StoreError, StoreOpenError, StoreUnavailableError
from goldenpath.store.postgres.server import (
    CONNECT_SECONDS,
    TROUBLE,
    Connection,
    Server,
    describe,
)

T = TypeVar("T")
Job = Callable[[Connection], Awaitable[T]]
Prepare = Callable[[Connection], Awaitable[None]]

logger = logging.getLogger("goldenpath.store")

SILENCE_SECONDS = 30.0
"""After so long without an answer a connection is given up."""
_WAIT_SECONDS = 10.0
"""For a connection out of the pool, when all are busy."""


_DURABLE = """
SELECT set_config('synchronous_commit', 'on', false)
WHERE current_setting('synchronous_commit') = 'off'
"""
"""Hosts refuse to start where it is off; a server that took over may be set otherwise."""


class _Silence:
    """Gives a connection up that has not answered for long."""

    def __init__(self, connection: Connection) -> None:
        self._give_up: Callable[[], None] = connection.terminate
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(SILENCE_SECONDS, self._give_up)

    def broken(self) -> None:
        """An answer came: the time begins anew."""
        self._timer.cancel()
        self._timer = self._loop.call_later(SILENCE_SECONDS, self._give_up)

    def end(self) -> None:
        self._timer.cancel()


_SILENCE: ContextVar[_Silence | None] = ContextVar("silence", default=None)


def answered() -> None:
    """Called by a job of many statements after each: it is long, and the database is not silent."""
    silence = _SILENCE.get()
    if silence is not None:
        silence.broken()


class Link:
    """One connection, opened when it is needed and anew after it broke; one job at a time.

    `writes`: what becomes of its jobs tells whether the store can be written to. `vital`: while it
    is silent, nobody's silence is taken for a death.
    """

    def __init__(
        self,
        server: Server,
        prepare: Prepare | None = None,
        *,
        writes: bool = False,
        vital: bool = False,
    ) -> None:
        self._server = server
        self._prepare = prepare
        self._writes = writes
        self._vital = vital
        self._connection: Connection | None = None
        self._turn = asyncio.Lock()
        self._era = 0
        self._closed = False
        self._warned: str | None = None
        self._jobs: set[asyncio.Task[Any]] = set()

    async def run(self, job: Job[T], then: Callable[[], None] | None = None) -> T:
        """Do a job; it goes on if the caller goes away. Raises `StoreError`, `CodecError`.

        `then` is called when the job has ended.
        """
        task = asyncio.create_task(self.run_here(job))
        self._jobs.add(task)
        task.add_done_callback(self._forget)
        if then is not None:
            task.add_done_callback(lambda _: then())
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._jobs.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone

    async def run_here(self, job: Job[T]) -> T:
        """`run` for callers who are never cancelled: without a task in between."""
        async with self._turn:
            if self._closed:
                raise StoreUnavailableError("the store is closed")
            try:
                result = await self._do(job)
            except StoreUnavailableError as error:
                if self._vital and (self._connection is None or self._connection.is_closed()):
                    self._server.silences += 1
                if self._writes:
                    self._server.trouble = str(error)
                raise
            if self._writes:
                self._server.trouble = None
            return result

    async def _do(self, job: Job[T]) -> T:
        connection = await self._opened()
        silence = _Silence(connection)
        token = _SILENCE.set(silence)
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
            silence.end()
            _SILENCE.reset(token)
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
                async with asyncio.timeout(CONNECT_SECONDS):
                    if self._server.durable:
                        await connection.execute(_DURABLE)
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
        async with self._turn:
            await self._close_connection()

    async def _close_connection(self) -> None:
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
        # The caller may go away: the link is free when the job has ended, not before.
        return await link.run(job, lambda: self._give_back(link))

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
