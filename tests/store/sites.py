"""Where each store lives under test."""

from __future__ import annotations

import asyncio
import resource
import shutil
from pathlib import Path
from typing import Any

from goldenpath.store import postgres
from goldenpath.store.interface import Store
from goldenpath.store.sqlite import SqliteStore, open_store
from goldenpath.testing.memory_disk import Disk, restored
from goldenpath.testing.memory_store import MemoryStore
from tests.databases import Database, database, drop, empty_database
from tests.mission_critical.places import holds

_FULL = 120_000
"""Bytes: room for what the check wrote before, not for what it writes then."""


class MemorySite:
    """A store in memory; `make` may give a broken one."""

    def __init__(self, make: Any = MemoryStore) -> None:
        self.disk = Disk()
        self._make = make
        self._open: MemoryStore | None = None

    async def open(self) -> Store:
        if self._open is not None:
            self._open.dead = True
        self._open = self._make(self.disk)
        assert self._open is not None
        return self._open

    async def restored(self, copy: Path) -> Store:
        return self._make(restored(copy))

    def path(self) -> Path:
        return Path(f"copy-{id(self)}")

    async def fill_disk(self, store: Store, full: bool) -> None:
        self.disk.writable = not full

    def traces(self, text: str) -> bool:
        wanted = text.encode()
        users = self.disk.users.values()
        return any(wanted in entry.json for user in users for entry in user.entries) or (
            text in str([(user.rows.__dict__, user.inbox) for user in users])
        )

    async def close(self) -> None:
        if self._open is not None:
            await self._open.close()


class SqliteSite:
    """A file in a directory of the test's own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: SqliteStore | None = None
        self._more: list[SqliteStore] = []

    async def open(self) -> Store:
        if self._open is not None:
            await self._end(self._open)
        self._open = await open_store(self._directory / "store.db", durability="process")
        return self._open

    async def _end(self, store: SqliteStore) -> None:
        await store.close()

    async def restored(self, copy: Path) -> Store:
        store = await open_store(copy, durability="process")
        self._more.append(store)
        return store

    def path(self) -> Path:
        return self._directory / "copy.db"

    async def fill_disk(self, store: Store, full: bool) -> None:
        # No file of this process may grow: writes fail as on a full disk.
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL if full else hard, hard))

    def traces(self, text: str) -> bool:
        files = self._directory.glob("store.db*")
        return any(text.encode() in file.read_bytes() for file in files)

    async def close(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        for store in (self._open, *self._more):
            if store is not None:
                await store.close()


class KilledSqliteSite(SqliteSite):
    """Opened again on what a process leaves that is killed: its files as they were, not closed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._deaths = 0

    async def _end(self, store: SqliteStore) -> None:
        self._deaths += 1
        left = self._directory.parent / f"{self._directory.name}-{self._deaths}"

        def copy(connection: object) -> None:
            # The thread that writes is busy with this: the files stand still.
            left.mkdir()
            for end in ("", "-wal"):
                file = self._directory / f"store.db{end}"
                if file.exists():
                    shutil.copy(file, left)

        await store._core._writer.run(copy)  # pyright: ignore[reportPrivateUsage]
        await store.close()
        self._directory = left


class PostgresSite:
    """A database of the test's own, on a server that is there before."""

    def __init__(self, version: int, directory: Path) -> None:
        self._version = version
        self._directory = directory
        self._databases: list[Database] = []
        self._stores: list[postgres.PostgresStore] = []

    async def open(self) -> Store:
        if not self._databases:
            self._databases.append(await asyncio.to_thread(database, self._version))
        else:
            await self._stores.pop().close()
            # What a host finds after it has waited for a lease; the waiting has tests of its own.
            await self._sql("UPDATE goldenpath.users SET holder = NULL")
        return await self._open(self._databases[0])

    async def _open(self, database: Database) -> Store:
        store = await postgres.open_store(database.url)
        self._stores.append(store)
        return store

    async def _sql(self, text: str) -> str:
        return await asyncio.to_thread(self._databases[0].sql, text)

    async def restored(self, copy: Path) -> Store:
        target = await asyncio.to_thread(empty_database, self._version)
        self._databases.append(target)
        await postgres.restore(target.url, copy)
        return await self._open(target)

    def path(self) -> Path:
        return self._directory / "copy.image"

    async def fill_disk(self, store: Store, full: bool) -> None:
        # A disk that is really full has a test of its own; this is a database that writes nothing.
        one = self._databases[0]
        change = "SET default_transaction_read_only = on" if full else "RESET ALL"
        for text in (
            f"ALTER DATABASE {one.name} {change}",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE datname = '{one.name}' AND pid <> pg_backend_pid()",
        ):
            await asyncio.to_thread(one.server.sql, text)

    def traces(self, text: str) -> bool:
        one = self._databases[0]
        one.sql("CHECKPOINT")
        number = one.sql(f"SELECT oid FROM pg_database WHERE datname = '{one.name}'")
        files = (one.server.data / "base" / number).iterdir()
        return any(holds(file, text) for file in files)

    async def close(self) -> None:
        for store in self._stores:
            await store.close()
        for one in self._databases:
            await asyncio.to_thread(drop, one)
