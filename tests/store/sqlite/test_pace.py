"""Under load groups begin at a pace; with few users nothing is delayed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from goldenpath.store.sqlite import commit, open_store
from tests.store.sqlite.logs import Log, piece

pytestmark = pytest.mark.anyio


async def test_a_lone_user_is_never_delayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "PACE_S", 3600.0)
    store = await open_store(tmp_path / "store.db", durability="process")
    log = await Log.begin(store, "ann")
    for number in range(20):
        await log.new_thread(f"t{number}")
    assert store.stats.groups == 21
    await store.close()


async def test_operations_that_come_within_the_pace_share_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "PACED_SIZE", 0.0)
    monkeypatch.setattr(commit, "PACE_S", 0.2)
    store = await open_store(tmp_path / "store.db", durability="process")
    logs = [await Log.begin(store, name) for name in ("ann", "bob", "cleo")]
    before = store.stats.groups
    appends = []
    for log in logs:
        appends.append(asyncio.create_task(log.new_thread()))
        for _ in range(20):  # each comes in a turn of its own
            await asyncio.sleep(0)
    await asyncio.gather(*appends)
    assert store.stats.groups - before == 1
    assert store.stats.last_size == 3
    await store.close()


async def test_settling_goes_on_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "PACED_SIZE", 0.0)
    monkeypatch.setattr(commit, "PACE_S", 0.05)
    store = await open_store(tmp_path / "store.db", durability="process")
    log = await Log.begin(store, "ann")
    await log.new_thread()
    await log.ask("r1", "Why?")
    await asyncio.gather(store.compact(), log.append([piece("x")], "r1"))
    assert (await store.head(log.user)).cursor == log.head
    await store.close()
