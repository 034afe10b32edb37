"""The threads that execute SQL: one that writes, a few that read. They decide nothing.

A thread that comes back from SQLite waits for the interpreter's lock, up to its switch interval
(5 ms) where the event loop is busy. So work is handed over in bulk, and each statement does a lot.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

import apsw

from goldenpath.errors import StoreError, StoreUnavailableError
from goldenpath.store.sqlite import sql
from goldenpath.store.sqlite.connection import (
    Durability,
    connect,
    connect_reader,
    describe,
    translated,
)

T = TypeVar("T")

Job = Callable[[apsw.Connection], object]
Done = Callable[[object, BaseException | None], None]


class WriterThread:
    """Owns the connection that writes, and runs one job after the other, each a transaction."""

    def __init__(
        self,
        path: Path,
        durability: Durability,
        connection: apsw.Connection,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._path = path
        self._durability: Durability = durability
        self._connection: apsw.Connection | None = connection
        self._loop = loop
        self._jobs: queue.SimpleQueue[tuple[Job, Done, bool] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="goldenpath-writer", daemon=True)
        self._thread.start()

    def post(self, job: Job, done: Done, *, reopen: bool = False) -> None:
        """Run `job` in a transaction of its own, then `done(result, error)` on the loop.

        With `reopen` the connection is replaced first: what an error left behind is gone, and
        the job sees what the file really holds.
        """
        self._jobs.put((job, done, reopen))

    async def run(self, job: Callable[[apsw.Connection], T]) -> T:
        """Run a job and wait for it."""
        future: asyncio.Future[T] = self._loop.create_future()

        def done(result: object, error: BaseException | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        self.post(job, done)
        return await future

    def stop(self) -> None:
        """Finish the posted jobs, close the connection and end the thread."""
        self._jobs.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            job, done, reopen = item
            result: object = None
            error: BaseException | None = None
            try:
                with translated():
                    result = self._transaction(job, reopen)
            except StoreError as failure:
                error = failure
            except Exception as failure:  # the thread's outermost boundary
                error = StoreUnavailableError(f"{type(failure).__name__}: {failure}")
                error.__cause__ = failure
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits
                self._loop.call_soon_threadsafe(done, result, error)
        self._close()

    def _transaction(self, job: Job, reopen: bool) -> object:
        if reopen or self._connection is None:
            self._close()
            self._connection = connect(self._path, self._durability)
        connection = self._connection
        if job in _BARE_JOBS:
            return job(connection)
        sql.run(connection, "BEGIN IMMEDIATE")
        try:
            result = job(connection)
            sql.run(connection, "COMMIT")
        except BaseException:
            with contextlib.suppress(apsw.Error):
                if connection.in_transaction:
                    sql.run(connection, "ROLLBACK")
            raise
        return result

    def _close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(apsw.Error):
                self._connection.close(True)
            self._connection = None


def truncate_wal(connection: apsw.Connection) -> bool:
    """Copy the write-ahead log into the file and empty it. False if a reader was in the way."""
    return not sql.one(connection, "PRAGMA wal_checkpoint(TRUNCATE)")


def release_space(connection: apsw.Connection) -> bool:
    """Give some of the pages that hold nothing back to the file system. False if none is left."""
    sql.run(connection, f"PRAGMA incremental_vacuum({_PAGES_AT_ONCE})")
    return bool(sql.one(connection, "PRAGMA freelist_count"))


_PAGES_AT_ONCE = 256
_BARE_JOBS: tuple[Job, ...] = (truncate_wal, release_space)
"""Jobs that cannot run in a transaction."""


class Readers(Protocol):
    """Runs queries, each in a snapshot; none is older than the state in memory it belongs to."""

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """Run `query`. Raises `StoreUnavailableError`."""
        ...


class ReaderPool:
    """A few threads, each with a connection of its own that cannot write."""

    def __init__(self, path: Path, loop: asyncio.AbstractEventLoop, threads: int = 3) -> None:
        self._path = path
        self._loop = loop
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(threads, "goldenpath-reader")

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """Run `query` in a snapshot of its own. Raises `StoreUnavailableError`."""
        try:
            return await self._loop.run_in_executor(self._executor, self._snapshot, query)
        except RuntimeError as error:
            raise StoreUnavailableError("the store is closed") from error

    def stop(self) -> None:
        """Finish what runs and close the connections."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            with contextlib.suppress(apsw.Error):
                connection.close(True)

    def _snapshot(self, query: Callable[[apsw.Connection], T]) -> T:
        try:
            connection: apsw.Connection | None = getattr(self._local, "connection", None)
            if connection is None:
                connection = self._local.connection = connect_reader(self._path)
                with self._lock:
                    self._connections.append(connection)
            return snapshot(connection, query)
        except apsw.Error as error:
            raise StoreUnavailableError(describe(error)) from error


def snapshot(connection: apsw.Connection, query: Callable[[apsw.Connection], T]) -> T:
    """Run `query` so that all its statements see one moment."""
    sql.run(connection, "BEGIN")
    try:
        return query(connection)
    finally:
        if connection.in_transaction:
            sql.run(connection, "COMMIT")
