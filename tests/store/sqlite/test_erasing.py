"""Erasing: promised with the append, hidden at once, gone from the files after `compact`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from goldenpath.model.commands import body_hash
from goldenpath.model.events import ThreadDeleted
from goldenpath.model.ids import CommandId, Mark, Seq, ThreadId, UserId
from goldenpath.store.interface import Position
from goldenpath.store.sqlite import SqliteStore, open_reader, open_store
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


async def test_a_user_is_erased_with_what_waits(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await write(store, settle=True)
    await log.ask("late", SECRETS[0], "t1")
    await store.submit(log.user, CommandId("waits"), question(SECRETS[0]), 0)
    await store.erase_user(log.user, log.epoch, log.mark)
    assert await store.pending(log.user) == []
    assert await store.threads(log.user, 10, None) == []
    batch = await store.read(log.user, Position(Mark("0"), Seq(0)), 10_000)
    assert (batch.to, batch.hidden, batch.events) == (log.head, log.head, [])
    await store.compact()
    assert found_in_files(tmp_path) == []
    assert (await store.head(log.user)) == Position(log.mark, Seq(log.head))
    await log.new_thread("t9", "again")
    assert len(await store.threads(log.user, 10, None)) == 1
    await store.close()
