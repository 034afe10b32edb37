"""PostgreSQL for tests: one server for each version and test process, a new database for each test."""

from __future__ import annotations

import asyncio
import atexit
import itertools
import os
from dataclasses import dataclass

from goldenpath.store.postgres import migrate
from goldenpath.testing.postgres import PostgresServer, installations

WANTED = (18, 15)
"""The newest that is supported, and the oldest."""
_servers: dict[int, PostgresServer] = {}
_numbers = itertools.count(1)
_TEMPLATE = "migrated"


def versions() -> list[int]:
    """Those of the wanted versions that are here; all of them where it counts."""
    here = installations()
    missing = [version for version in WANTED if version not in here]
    if missing and os.environ.get("CI") == "true":
        raise RuntimeError(f"PostgreSQL {missing} is not installed; make setup does that for root")
    return [version for version in WANTED if version in here]


@dataclass
class Database:
    """A database of a test's own."""

    server: PostgresServer
    name: str

    @property
    def url(self) -> str:
        """Its connection string."""
        return self.server.url(self.name)

    def sql(self, text: str) -> str:
        """Run a statement, as its owner."""
        return self.server.sql(text, self.name)


def server(version: int) -> PostgresServer:
    """The server of this process; the first call starts it."""
    if version not in _servers:
        _servers[version] = PostgresServer(version=version).start()
        atexit.register(_servers[version].close)
        _servers[version].sql(f"CREATE DATABASE {_TEMPLATE}")
        url = _servers[version].url(_TEMPLATE)
        asyncio.run(migrate(url))
    return _servers[version]


def database(version: int) -> Database:
    """A database whose schema is up to date, and that holds nothing."""
    one = server(version)
    name = f"test{next(_numbers)}"
    one.sql(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE} STRATEGY file_copy")
    return Database(one, name)


def empty_database(version: int) -> Database:
    """A database without a schema."""
    one = server(version)
    name = f"test{next(_numbers)}"
    one.sql(f"CREATE DATABASE {name}")
    return Database(one, name)


def drop(database: Database) -> None:
    """Remove it."""
    database.server.sql(f"DROP DATABASE {database.name} WITH (FORCE)")
