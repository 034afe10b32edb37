"""A disk that is full: said at once, nothing lost, and over when there is room again."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Generator
from pathlib import Path

import pytest

from goldenpath.errors import StoreUnavailableError
from goldenpath.model.ids import CommandId, DeviceId, Mark, Seq, UserId
from goldenpath.store.interface import Position, Store
from goldenpath.store.sqlite import open_store
from tests.store.sqlite.logs import HOST, Log, piece, question

pytestmark = pytest.mark.anyio


@pytest.fixture
def unlimited() -> Generator[None]:
    """Put the limit on the size of files back."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def limit_files(size: int) -> None:
    """Let no file of this process grow beyond; a write beyond fails like on a full disk."""
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))


async def until_writable(store: Store) -> None:
    async with asyncio.timeout(30):
        while not store.status().writable:
            await asyncio.sleep(0.05)


async def fill(log: Log) -> None:
    for _ in range(1000):
        await log.append([piece("x" * 10_000)], "r1")


async def test_it_says_so_reads_on_and_goes_on_when_there_is_room(
    tmp_path: Path, unlimited: None
) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    log = await Log.begin(store, "ann")
    await log.new_thread()
    limit_files(500_000)
    with pytest.raises(StoreUnavailableError):
        await fill(log)
    status = store.status()
    assert not status.writable
    assert status.reason
    assert "\n" not in status.reason
    # At once, each of them:
    refused = log.make([piece("more")], "r1")
    for failing in (
        store.append(refused),
        store.submit(UserId("bob"), CommandId("c"), question("?"), 0),
        store.acquire(UserId("bob"), HOST, Mark("m9")),
        store.acknowledge(log.user, DeviceId("d"), Position(log.mark, Seq(1))),
    ):
        with pytest.raises(StoreUnavailableError):
            await failing
    found = await store.read(log.user, Position(Mark("0"), Seq(0)), 10_000, 1 << 30)
    assert len(found.events) == log.head
    assert await store.threads(log.user, 10, None)
    limit_files(1 << 40)
    await until_writable(store)
    # The append whose outcome was unknown is repeated with its id, and is there once.
    log.head = (await store.head(log.user)).cursor
    await log.append([piece("more")], "r1")
    await store.close()
    store = await open_store(path)
    assert (await store.head(log.user)).cursor == log.head
    _, entries = await store.entries(log.user, Seq(0), 100_000)
    assert [entry.json for entry in entries][: log.head - 1] == [
        entry.json for entry in log.acknowledged
    ][: log.head - 1]
    await store.close()


async def test_settling_that_fails_loses_nothing(tmp_path: Path, unlimited: None) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    log = await Log.begin(store, "ann")
    await log.new_thread()
    for _ in range(20):
        await log.append([piece("x" * 20_000)], "r1")
    limit_files(450_000)
    with pytest.raises(StoreUnavailableError):
        await store.compact()
    limit_files(1 << 40)
    await until_writable(store)
    await log.append([piece("after")], "r1")
    await store.compact()
    _, entries = await store.entries(log.user, Seq(0), 1000)
    assert entries == log.acknowledged
    await store.close()
    store = await open_store(path)
    _, entries = await store.entries(log.user, Seq(0), 1000)
    assert entries == log.acknowledged
    await store.close()


async def test_a_group_that_finds_no_room_fails_alone(tmp_path: Path) -> None:
    """SQLite's own bound on pages, for one connection: the next one has room."""
    store = await open_store(tmp_path / "store.db")
    log = await Log.begin(store, "ann")
    await log.new_thread()
    await store._core._writer.run(lambda c: c.pragma("max_page_count", 60))  # pyright: ignore
    big = log.make([piece("x" * 1_000_000)], "r1")
    with pytest.raises(StoreUnavailableError, match="disk is full"):
        await log.send(big)
    await until_writable(store)
    await log.send(big)
    assert (await store.head(log.user)).cursor == log.head == 2
    await store.close()
