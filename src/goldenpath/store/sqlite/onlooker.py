"""Reading a store's file beside the process that serves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from goldenpath.errors import CodecError, StoreUnavailableError
from goldenpath.model.commands import Receipt
from goldenpath.model.ids import UserId
from goldenpath.store.sqlite import sql
from goldenpath.store.sqlite.backup import copy_database
from goldenpath.store.sqlite.connection import check_reader_file, describe
from goldenpath.store.sqlite.demand import Demand
from goldenpath.store.sqlite.loader import restored
from goldenpath.store.sqlite.memory import UserState, visible_receipt
from goldenpath.store.sqlite.queries import find_receipts, load_users
from goldenpath.store.sqlite.reads import All, Reads, Used
from goldenpath.store.sqlite.recovery import Replayed, due_users, replay, waiting_users
from goldenpath.store.sqlite.threads import Readers

T = TypeVar("T")


async def open_reader(path: Path | str) -> SqliteReader:
    """Open an existing store for reading only, also while it is served. Raises `StoreOpenError`."""
    where = Path(path).absolute()  # noqa: ASYNC240  it reads no file
    executor = ThreadPoolExecutor(1, "goldenpath-onlooker")
    loop = asyncio.get_running_loop()
    try:
        connection = await loop.run_in_executor(executor, check_reader_file, where)
    except BaseException:
        await asyncio.to_thread(executor.shutdown)
        raise
    return SqliteReader(where, connection, executor)


class _Snapshot:
    """Runs every query in the one snapshot that is open on the connection."""

    def __init__(self, connection: apsw.Connection, executor: ThreadPoolExecutor) -> None:
        self._connection = connection
        self._executor = executor
        self._loop = asyncio.get_running_loop()

    async def run(self, query: Callable[[apsw.Connection], T]) -> T:
        """See `Readers.run`."""
        try:
            return await self._loop.run_in_executor(self._executor, query, self._connection)
        except apsw.Error as error:
            raise StoreUnavailableError(describe(error)) from error
        except CodecError as error:
            raise StoreUnavailableError(str(error)) from error


class SqliteReader(Reads):
    """The reading half of `Store`. Every call sees one moment: settled tables and tail together."""

    def __init__(
        self, path: Path, connection: apsw.Connection, executor: ThreadPoolExecutor
    ) -> None:
        self._path = path
        self._executor = executor
        self._readers = _Snapshot(connection, executor)
        self._turn = asyncio.Lock()
        self._known: tuple[int, Replayed] | None = None

    async def close(self) -> None:
        """Close the file."""
        await self._readers.run(lambda connection: connection.close())
        await asyncio.to_thread(self._executor.shutdown)

    async def backup(self, target: Path) -> None:
        """See `Store.backup`."""
        await copy_database(self._path, target)

    async def demand(self, now_ms: int, limit: int = 1000) -> list[UserId]:
        """See clause D1."""
        async with self._snapshot() as found:
            waiting = await self._readers.run(waiting_users)
            demand = Demand(waiting, await self._readers.run(due_users))
            for state in found.states.values():
                demand.update(state)
            return demand.users(now_ms, limit)

    @contextlib.asynccontextmanager
    async def _snapshot(self) -> AsyncGenerator[Replayed]:
        async with self._turn:
            await self._readers.run(lambda connection: sql.run(connection, "BEGIN"))
            try:
                yield await self._replayed()
            finally:
                await self._readers.run(lambda connection: sql.run(connection, "COMMIT"))

    async def _replayed(self) -> Replayed:
        """Replay the tail, unless the snapshot is the one that was replayed last."""
        version = await self._readers.run(lambda c: sql.fetch(c, "PRAGMA data_version")[0][0])
        if self._known is None or self._known[0] != version:
            self._known = (version, await self._readers.run(replay))
        return self._known[1]

    @contextlib.asynccontextmanager
    async def _use(self, user: UserId) -> AsyncGenerator[Used]:
        async with self._snapshot() as found:
            state = found.states.get(user)
            if state is None:
                loaded = await self._readers.run(lambda connection: load_users(connection, [user]))
                state = restored(loaded[0]) if loaded else UserState(user, 0)
            yield Used(state, self._readers)

    @contextlib.asynccontextmanager
    async def _use_all(self) -> AsyncGenerator[All]:
        async with self._snapshot() as found:
            yield All(list(found.states.values()), self._readers)

    async def _find_receipt(
        self, state: UserState, readers: Readers, command_id: str
    ) -> Receipt | None:
        receipt = state.receipts.get(command_id)
        if receipt is not None:
            return receipt
        key = (state.user, command_id)
        found = await readers.run(lambda connection: find_receipts(connection, [key]))
        return visible_receipt(state, found.get(key))
