"""A disk that is full: no file of the database can grow. It says so, loses nothing, comes back."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from goldenpath.errors import StoreUnavailableError
from goldenpath.store.postgres import PostgresStore, migrate, open_store
from goldenpath.testing.postgres import PostgresServer
from tests.databases import Database, versions
from tests.store.harness import Engine, created, read_all

pytestmark = pytest.mark.anyio

_ROOM = 20 * 1024 * 1024
"""More than a segment of the write-ahead log, which must be written whole."""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    with PostgresServer(version=versions()[0]) as server:
        yield server


def limit(server: PostgresServer, size: int | str) -> None:
    """As the account of the server: nobody else may raise it again."""
    for pid in server.pids():
        own = Path(f"/proc/{pid}").stat()
        done = subprocess.run(
            ["prlimit", f"--pid={pid}", f"--fsize={size}:"],
            user=own.st_uid,
            group=own.st_gid,
            check=False,
        )
        assert done.returncode == 0 or not Path(f"/proc/{pid}").exists()


async def test_it_says_so_loses_nothing_and_comes_back(server: PostgresServer) -> None:
    database = Database(server, "postgres")
    await migrate(database.url)
    store: PostgresStore = await open_store(database.url)
    engine = await Engine.begin(store)
    limit(server, _ROOM)
    noise = Random(1)
    append = None
    with pytest.raises(StoreUnavailableError, match="No space|File too large|extend"):
        for _ in range(60):
            append = engine.append(created("t", noise.randbytes(500_000).hex()))
            await store.append(append)
            engine.head += 1
    assert append is not None and not store.status().writable
    limit(server, "unlimited")
    async with asyncio.timeout(30):
        await store.append(append)
    engine.head += 1
    assert store.status().writable
    batches = await read_all(store)
    assert sum(batch.to - batch.from_ for batch in batches) == engine.head
    await store.close()
