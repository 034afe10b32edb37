"""A store moves to PostgreSQL whole, or not at all; a copy of a database comes back whole."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldenpath.compose.moving import Moved, move_store
from goldenpath.compose.restoring import restore_store
from goldenpath.compose.stores import open_store
from goldenpath.errors import ConfigError, StoreOpenError
from goldenpath.model.ids import CommandId, Mark, RunId, Seq, ThreadId
from goldenpath.store.interface import Position, Refusal
from tests.databases import Database, database, drop, empty_database, versions
from tests.store.harness import (
    ADA,
    BOB,
    BUSY,
    HOST,
    LATER,
    NOW,
    PHONE,
    Engine,
    child,
    completed,
    created,
    raises,
    read_all,
    submit,
    work,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(params=versions())
def target(request: pytest.FixtureRequest) -> Iterator[Database]:
    found = empty_database(request.param)
    yield found
    drop(found)


async def fill(url: str) -> list[int]:
    """A little of everything that a store can hold; gives the heads."""
    store = await open_store(url, "process")
    first = await Engine.begin(store)
    await first.write(created("t"))
    await first.ask("r1")
    await first.write(*work("r1", "found"))
    await first.write(*child("r2", "r1"), ("t", "r2", completed("by a child")))
    await first.end("r1")
    await first.whole("gone", "t2", "erased")
    await store.prune(LATER, limit=1)
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(3)))
    await submit(store, "busy")
    await first.write(refused=[Refusal(CommandId("busy"), BUSY)])
    await submit(store, "waits")
    second = Engine(store, ADA, await store.acquire(ADA, HOST, Mark("m2")))
    await second.write(created("u", "von München nach Köln"), due_ms=NOW + 5)
    await second.ask("open", "u")
    other = await Engine.begin(store, BOB, "b1")
    await other.write(created("t"))
    await other.whole("r1")
    await store.close()
    return [second.head, other.head]


async def test_a_file_moves_and_clients_go_on(tmp_path: Path, target: Database) -> None:
    source = f"sqlite:///{tmp_path}/store.db"
    heads = await fill(source)
    assert await move_store(source, target.url) == Moved(users=2, entries=sum(heads))
    store = await open_store(target.url, "full")
    # A client's position is valid; the activations of before write nothing.
    batch = await store.read(ADA, Position(Mark("m1"), Seq(5)))
    assert batch.from_ == 5 and batch.to == heads[0]
    assert [c.command_id for c in await store.pending(ADA)] == ["waits"]
    outcome = await store.outcome(ADA, CommandId("busy"))
    assert isinstance(outcome, Refusal) and outcome.error == BUSY
    assert sorted(await store.demand(NOW + 5)) == [ADA]
    engine = await Engine.begin(store, ADA, "m3")
    assert engine.head == heads[0]
    assert [run.run_id for run in engine.activation.open_runs] == ["open"]
    await engine.end("open", "u")
    assert (await store.run(ADA, RunId("r1"))) is not None
    await store.close()


async def test_nothing_is_moved_into_a_database_that_is_in_use(
    tmp_path: Path, target: Database
) -> None:
    source = f"sqlite:///{tmp_path}/store.db"
    await fill(source)
    await move_store(source, target.url)
    error = await raises(StoreOpenError, move_store(source, target.url))
    assert "holds users already" in str(error)


async def test_a_file_that_is_served_is_not_moved(tmp_path: Path, target: Database) -> None:
    source = f"sqlite:///{tmp_path}/store.db"
    await fill(source)
    serving = await open_store(source, "process")
    assert "in use" in str(await raises(StoreOpenError, move_store(source, target.url)))
    await serving.close()
    await move_store(source, target.url)  # nothing was left of the attempt


@pytest.mark.parametrize("urls", [("sqlite:///nothere.db", "postgresql://x/y"),
                                  ("postgresql://x/y", "postgresql://x/z")])  # fmt: skip
async def test_what_cannot_be_moved_is_one_line(urls: tuple[str, str]) -> None:
    await raises(ConfigError, move_store(*urls))


def test_a_database_is_copied_set_aside_and_restored(tmp_path: Path) -> None:
    one = database(versions()[0])
    copy = tmp_path / "copy"
    heads = asyncio.run(fill(one.url))

    async def back_up() -> None:
        store = await open_store(one.url, "full")
        await store.backup(copy)
        engine = await Engine.begin(store, BOB, "b2")
        await engine.whole("lost")
        await store.close()

    async def look() -> None:
        store = await open_store(one.url, "full")
        assert (await store.head(ADA)).cursor == heads[0]
        assert await store.run(BOB, RunId("lost")) is None
        assert await store.thread(ADA, ThreadId("u")) is not None
        assert await read_all(store, BOB)
        await store.close()

    asyncio.run(back_up())
    with pytest.raises(StoreOpenError, match="holds users already"):
        restore_store(one.url, copy, replace=False)
    kept = restore_store(one.url, copy, replace=True)
    assert kept == "schema goldenpath_before_restore_1"
    asyncio.run(look())
    whole = copy.read_bytes()
    for broken in (
        whole[:-30],
        whole[: len(whole) // 2],
        whole.replace(b"\n", b"\n\xff", 1),
        b"nonsense",
        b"",
    ):
        copy.write_bytes(broken)
        with pytest.raises(StoreOpenError, match="damaged|no copy"):
            restore_store(one.url, copy, replace=True)
        asyncio.run(look())  # what was there is still there
    drop(one)
