"""A database for each test, on the newest PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from goldenpath.store.postgres import PostgresStore, open_store
from tests.databases import Database, database, drop, empty_database, versions


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def one() -> Iterator[Database]:
    """A database that is migrated."""
    found = database(versions()[0])
    yield found
    drop(found)


@pytest.fixture
def empty() -> Iterator[Database]:
    """A database without anything."""
    found = empty_database(versions()[0])
    yield found
    drop(found)


@pytest.fixture
async def store(one: Database) -> AsyncIterator[PostgresStore]:
    found = await open_store(one.url)
    yield found
    await found.close()


@pytest.fixture
async def stores(one: Database) -> AsyncIterator[tuple[PostgresStore, PostgresStore]]:
    """Of two hosts, with a lease that passes soon."""
    found = await asyncio.gather(*(open_store(one.url, lease_seconds=0.3) for _ in range(2)))
    yield found[0], found[1]
    for store in found:
        await store.close()
