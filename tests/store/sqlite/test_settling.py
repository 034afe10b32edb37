"""Settling: what the tail holds moves into the tables, and replaying it again changes nothing."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import apsw
import pytest

from goldenpath.model import events
from goldenpath.model.ids import CommandId, HostId, Mark, Seq, ThreadId, UserId
from goldenpath.store.interface import Position
from goldenpath.store.sqlite import SqliteStore, open_store
from goldenpath.store.sqlite.settle import SMALL_CHUNK_ENTRIES
from tests.store.harness import ADA, Engine, created
from tests.store.sqlite.logs import Log, all_entries, piece, question

pytestmark = pytest.mark.anyio

START = Position(Mark("0"), Seq(0))


async def picture(store: SqliteStore, user: UserId) -> list[object]:
    """Everything that can be read of a user."""
    return [
        await store.head(user),
        await store.entries(user, Seq(0), 10_000),
        await store.read(user, START, 10_000, 1 << 30),
        await store.threads(user, 100, None),
        await store.history(user, ThreadId("t1"), 100, None),
        await store.runs(user, None, 100),
        await store.pending(user),
        await store.outcome(user, CommandId("c-r1")),
        await store.undelivered(),
        await store.demand(10**9),
        await store.next_due(),
        await store.users(),
    ]


async def write(store: SqliteStore) -> Log:
    log = await Log.begin(store, "ann")
    await log.new_thread()
    await log.ask("r1", "What is the total?")
    await log.append([piece("x") for _ in range(200)], "r1", due_ms=77)
    await log.answer("r1", "42")
    await log.ask("r2", "And by month?")
    await store.submit(log.user, CommandId("waits"), question("later"), 0)
    return log


async def test_a_tail_that_was_settled_is_skipped_when_it_is_read_again(tmp_path: Path) -> None:
    """A crash between settling and deleting the tail's rows."""
    path, copy = tmp_path / "store.db", tmp_path / "copy.db"
    store = await open_store(path)
    log = await write(store)
    before = await picture(store, log.user)
    await store.backup(copy)
    await store.compact()
    assert await picture(store, log.user) == before
    await store.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT count(*) FROM tail").get == 0
    connection.execute("ATTACH ? AS old", (str(copy),))
    connection.execute("INSERT INTO tail SELECT * FROM old.tail")
    connection.close()
    store = await open_store(path)
    assert await picture(store, log.user) == before
    await store.compact()
    assert await picture(store, log.user) == before
    await store.close()


async def test_a_settled_user_that_nobody_uses_costs_nothing(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await write(store)
    await store.release(log.user, log.epoch)
    await store.compact()
    assert store._core.states == {}
    assert await store.demand(0) == [log.user]
    log.acknowledged.clear()
    activation = await store.acquire(log.user, HostId("another"), Mark("m2"))
    assert (activation.epoch, activation.head) == (log.epoch + 1, log.head)
    assert [run.run_id for run in activation.open_runs] == ["r2"]
    await store.close()


async def test_the_last_append_id_is_known_after_settling_and_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    log = await Log.begin(store, "ann")
    last = log.make([piece("x")], "r1")
    await log.send(last)
    await store.compact()
    await store.close()
    store = await open_store(path)
    await store.append(last)
    assert (await store.head(log.user)).cursor == 1
    await store.close()


async def test_small_settlements_join_into_whole_chunks(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    log = await Log.begin(store, "ann")
    for _ in range(60):
        await log.append([piece("x"), piece("y")], "r1")
        await store.compact()
    assert (await store.entries(log.user, Seq(0), 1000))[1] == log.acknowledged
    await store.close()
    connection = apsw.Connection(str(path))
    assert connection.execute("SELECT count(*) FROM chunks").get <= 120 // SMALL_CHUNK_ENTRIES + 1
    connection.close()


async def test_reads_and_appends_go_on_while_it_settles(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db", durability="process")
    stop = asyncio.Event()

    async def settle() -> None:
        while not stop.is_set():
            await store.compact()

    async def follow(log: Log) -> None:
        position, seen = START, 0
        watch = store.watch(log.user)
        while position.cursor < 400:
            batch = await store.read(log.user, position, 7)
            assert batch.from_ == position.cursor
            assert batch.to - batch.from_ == len(batch.events) + batch.hidden
            seen += len(batch.events)
            if batch.to == position.cursor:
                await watch.wait()
            position = Position(batch.mark, batch.to)
        assert seen == 400
        watch.close()

    async def produce(log: Log) -> None:
        for _ in range(100):
            await log.append([piece("x")] * 4, "r1")

    logs = [await Log.begin(store, f"user{n}", f"m{n}") for n in range(4)]
    settling = asyncio.create_task(settle())
    await asyncio.gather(*(produce(log) for log in logs), *(follow(log) for log in logs))
    stop.set()
    await settling
    await store.close()


async def test_everything_that_waits_is_one_group(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    logs = [await Log.begin(store, f"user{n}", f"m{n}") for n in range(50)]
    before = store.stats.groups
    await asyncio.gather(*(log.append([piece("x")], "r1") for log in logs))
    assert store.stats.groups - before <= 2
    await store.close()


async def test_a_copy_of_the_file_and_its_log_opens(tmp_path: Path) -> None:
    """As a machine that stopped would leave them."""
    path, copy = tmp_path / "store.db", tmp_path / "copy.db"
    store = await open_store(path)
    log = await write(store)
    before = await picture(store, log.user)
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    await store.close()
    store = await open_store(copy)
    assert await picture(store, log.user) == before
    await store.close()


async def test_every_copy_made_while_it_settles_is_whole(tmp_path: Path) -> None:
    """Settling never takes away from the tail what is not in the tables."""
    store = await open_store(tmp_path / "store.db", durability="process")
    logs = [await Log.begin(store, f"user{n}", f"m{n}") for n in range(3)]
    stop = asyncio.Event()

    async def settle() -> None:
        while not stop.is_set():
            await store._core.settler.settle_all()

    async def produce(log: Log) -> None:
        while not stop.is_set():
            await log.append([piece("x")] * 3, "r1")
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(one) for one in (settle(), *(produce(log) for log in logs))]
    for number in range(8):
        heads = [len(log.acknowledged) for log in logs]
        await store.backup(tmp_path / f"copy{number}.db")
        copy = await open_store(tmp_path / f"copy{number}.db")
        for log, head in zip(logs, heads, strict=True):
            found = (await copy.head(log.user)).cursor
            entries = await all_entries(copy, log.user)
            assert found >= head
            assert [entry.seq for entry in entries] == list(range(1, found + 1))
        await copy.close()
    stop.set()
    await asyncio.gather(*tasks)
    await store.close()


async def test_lists_are_whole_while_an_erasure_waits(tmp_path: Path) -> None:
    """Many settled rows are hidden by one erasure: more of them are read."""
    store = await open_store(tmp_path / "store.db", durability="process")
    engine = await Engine.begin(store)
    await engine.write(created("t"), created("gone"))
    for number in range(14):
        await engine.whole(f"r{number}", "t" if number < 4 else "gone")
    await store._core.settler.settle_all()
    await engine.write(("gone", None, events.ThreadDeleted()), erase_threads=[ThreadId("gone")])
    assert store._core.states[ADA].erasing
    wanted = ["r3", "r2", "r1"]
    assert [row.run_id for _, row in await store.runs(ADA, None, 3)] == wanted
    assert [row.run_id for _, row in await store.runs(None, "succeeded", 3)] == wanted
    assert [hit.run.run_id for hit in await store.search(ADA, ["hello"], 3)] == wanted
    assert len(await store.undelivered(3)) == 3
    await store.close()
