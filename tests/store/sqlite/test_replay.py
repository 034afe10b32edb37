"""Replaying the tail: a commit group may hold several operations of one user."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from goldenpath.model.events import ThreadUpdated
from goldenpath.model.ids import CommandId, Mark, Seq
from goldenpath.store.interface import Position
from goldenpath.store.sqlite import open_reader, open_store
from tests.store.sqlite.logs import Log, question

pytestmark = pytest.mark.anyio


async def test_what_a_user_submits_and_appends_in_one_group_is_all_there_again(
    tmp_path: Path,
) -> None:
    store = await open_store(tmp_path / "s.db")
    log = await Log.begin(store, "ann")
    await log.new_thread()
    for number in range(20):
        submits = [
            store.submit(log.user, CommandId(f"c{number}-{i}"), question("x"), 0) for i in range(5)
        ]
        change = log.append([ThreadUpdated(title=f"t{number}", archived=False)])
        await asyncio.gather(*submits[:3], change, *submits[3:])
    seqs = list(range(1, log.head + 1))
    await store.close()
    reader = await open_reader(tmp_path / "s.db")
    store = await open_store(tmp_path / "s.db")
    for one in (reader, store):
        _, entries = await one.entries(log.user, Seq(0), 1000)
        assert [entry.seq for entry in entries] == seqs
        assert len(await one.pending(log.user)) == 100
        batch = await one.read(log.user, Position(Mark("0"), Seq(0)))
        assert batch.to == log.head == len(batch.events) + batch.hidden
        await one.close()
