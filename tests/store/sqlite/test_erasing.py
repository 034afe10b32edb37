"""Erasing: promised with the append, hidden at once, gone from the files after `compact`."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import apsw
import pytest

from goldenpath.model.commands import body_hash
from goldenpath.model.events import ThreadDeleted
from goldenpath.model.ids import CommandId, Mark, Seq, ThreadId, UserId
from goldenpath.store.interface import Position
from goldenpath.store.sqlite import SqliteStore, open_reader, open_store
from goldenpath.store.sqlite.erase import OldThread
from goldenpath.store.verify import verify
from tests.store.sqlite.logs import Log, question

pytestmark = pytest.mark.anyio

SECRETS = ["Kolibri-question", "Kolibri-answer", "Kolibri-title"]
KEPT = "Amsel-question"


def found_in_files(folder: Path) -> list[str]:
    data = b"".join(file.read_bytes() for file in folder.iterdir() if file.is_file())
    hashes = [body_hash(question(SECRETS[0]))]
    return [text for text in [*SECRETS, *hashes] if text.encode() in data]


async def write(store: SqliteStore, *, settle: bool) -> Log:
    log = await Log.begin(store, "ann")
    await log.new_thread("t1", SECRETS[2])
    await log.new_thread("t2", "kept")
    for number in range(3):
        await log.ask(f"r{number}", SECRETS[0], "t1")
        await log.answer(f"r{number}", SECRETS[1] + "x" * 5000, "t1")
        await log.ask(f"kept{number}", KEPT, "t2")
    if settle:
        await store.compact()
    return log


async def assert_gone(store: SqliteStore, user: UserId) -> None:
    everything = [
        await store.entries(user, Seq(0), 10_000),
        await store.read(user, Position(Mark("0"), Seq(0)), 10_000),
        await store.threads(user, 10, None),
        await store.runs(None, None, 100),
        await store.undelivered(),
    ]
    assert not any(secret in repr(everything) for secret in SECRETS)
    assert KEPT in repr(everything)
    assert await store.history(user, ThreadId("t1"), 10, None) is None
    assert await store.search(user, ["Kolibri"], 10) == []
    assert len(await store.search(user, ["Amsel"], 10)) == 3
    again = await store.submit(user, CommandId("c-r0"), question("whatever"), 0)
    assert again.state == "settled"
    assert again.receipt is not None
    assert again.receipt.body_hash is None


@pytest.mark.parametrize("settle", [True, False])
async def test_a_threads_texts_are_gone_at_once_and_then_from_the_files(
    tmp_path: Path, settle: bool
) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await write(store, settle=settle)
    await log.append([ThreadDeleted()], thread="t1", erase=["t1"])
    await assert_gone(store, log.user)
    await store.compact()
    await assert_gone(store, log.user)
    assert found_in_files(tmp_path) == []
    await store.close()
    assert found_in_files(tmp_path) == []


@pytest.mark.parametrize("settle", [True, False])
async def test_a_crash_after_the_promise_does_not_bring_them_back(
    tmp_path: Path, settle: bool
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    path, copy = tmp_path / "store.db", folder / "store.db"
    store = await open_store(path)
    log = await write(store, settle=settle)
    await log.append([ThreadDeleted()], thread="t1", erase=["t1"])
    shutil.copy(path, copy)
    shutil.copy(f"{path}-wal", f"{copy}-wal")
    await store.close()
    store = await open_store(copy)
    await assert_gone(store, log.user)
    await store.compact()
    await assert_gone(store, log.user)
    assert found_in_files(folder) == []
    await store.close()


async def test_one_who_looks_on_does_not_see_them_either(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await write(store, settle=True)
    await log.append([ThreadDeleted()], thread="t1", erase=["t1"])
    reader = await open_reader(tmp_path / "store.db")
    assert await reader.history(log.user, ThreadId("t1"), 10, None) is None
    assert await reader.search(log.user, ["Kolibri"], 10) == []
    entries = repr(await reader.entries(log.user, Seq(0)))
    assert not any(secret in entries for secret in SECRETS)
    await reader.close()
    await store.close()


async def test_a_user_is_erased_but_not_what_waits(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await write(store, settle=True)
    await log.ask("late", SECRETS[0], "t1")
    await store.submit(log.user, CommandId("waits"), question("said later"), 0)
    await log.append([], erase_user=True)
    assert [p.command_id for p in await store.pending(log.user)] == ["waits"]
    assert await store.threads(log.user, 10, None) == []
    batch = await store.read(log.user, Position(Mark("0"), Seq(0)), 10_000)
    assert (batch.to, batch.hidden, batch.events) == (log.head, log.head, [])
    await store.compact()
    assert found_in_files(tmp_path) == []
    assert (await store.head(log.user)) == Position(log.mark, Seq(log.head))
    await log.new_thread("t9", "again")
    assert len(await store.threads(log.user, 10, None)) == 1
    await store.close()


async def test_an_erasure_that_a_crash_cut_short_is_finished_by_itself(tmp_path: Path) -> None:
    """The promise is settled, the texts are not rewritten yet, and nothing else happens."""
    path = tmp_path / "store.db"
    store = await open_store(path)
    log = await write(store, settle=True)
    await store.close()
    connection = apsw.Connection(str(path))
    connection.execute("INSERT INTO erasures SELECT user_no, 't1', head FROM users")
    connection.close()
    store = await open_store(path)
    await assert_gone(store, log.user)
    async with asyncio.timeout(30):
        while any(state.erasing for state in store._core.states.values()):
            await asyncio.sleep(0.01)
    await store.close()
    assert found_in_files(tmp_path) == []


async def test_a_pruned_run_keeps_its_question_and_its_answer(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await write(store, settle=False)
    before = await store.history(log.user, ThreadId("t1"), 10, None)
    assert await store.prune(10**12, limit=2) == 2
    assert await store.prune(10**12, limit=2) == 1
    assert await store.prune(10**12, limit=2) == 0
    after = await store.history(log.user, ThreadId("t1"), 10, None)
    assert before is not None
    assert after is not None
    assert after.runs == before.runs
    batch = await store.read(log.user, Position(Mark("0"), Seq(0)), 10_000)
    assert batch.to == log.head == len(batch.events) + batch.hidden
    assert not any(b"agent_output" in event for event in batch.events)
    assert sum(b"agent_completed" in event for event in batch.events) == 3
    await store.close()


async def test_a_thread_that_is_used_while_retention_looks_at_it_stays(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await Log.begin(store, "ann")
    await log.new_thread("t1", "kept")
    await log.new_thread("t2", "of the same user")
    await log.ask("r1", KEPT, "t1")
    await log.answer("r1", "an answer", "t1")
    run = store._readers.run

    async def ask_meanwhile(query: object) -> object:
        found = await run(query)  # type: ignore[arg-type]
        if isinstance(found, list) and any(isinstance(one, OldThread) for one in found):
            store._readers.run = run  # type: ignore[method-assign]
            await log.ask("r2", KEPT, "t1")
        return found

    store._readers.run = ask_meanwhile  # type: ignore[assignment, method-assign]
    assert await store.prune(10**9, everything=True) == 1
    assert await store.thread(log.user, ThreadId("t1")) is not None
    assert await store.prune(10**9, everything=True) == 1
    assert [row.thread_id for row in await store.threads(log.user, 9, None)] == ["t1"]
    assert {breach.invariant for breach in await verify(store)} <= {"demand is durable"}
    await log.answer("r2", "an answer", "t1")
    assert await store.prune(10**9, everything=True) == 2
    assert await store.threads(log.user, 9, None) == []
    await store.close()
