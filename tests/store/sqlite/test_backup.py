"""A backup made while appends go on is a whole store of one moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from goldenpath.errors import PositionError, StoreUnavailableError
from goldenpath.model.ids import Seq
from goldenpath.store.interface import Position
from goldenpath.store.sqlite import open_store
from tests.store.sqlite.logs import Log, piece

pytestmark = pytest.mark.anyio


async def test_it_opens_as_of_one_moment_and_later_positions_are_refused(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    log = await Log.begin(store, "ann")
    await log.append([piece("x")] * 100, "r1")
    await store.compact()

    async def produce() -> None:
        for _ in range(50):
            await log.append([piece("y")] * 3, "r1")

    await asyncio.gather(produce(), store.backup(tmp_path / "backup.db"))
    later = await store.head(log.user)
    await store.close()
    copy = await open_store(tmp_path / "backup.db")
    head = (await copy.head(log.user)).cursor
    assert 100 <= head <= later.cursor
    _, entries = await copy.entries(log.user, Seq(0), 1000)
    assert entries == log.acknowledged[:head]
    again = await Log.begin(copy, "ann", "m2")
    await again.append([piece("z")] * 500, "r1")
    with pytest.raises(PositionError):
        await copy.read(log.user, Position(log.mark, Seq(head + 1)))
    await copy.close()


async def test_a_target_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "store.db")
    with pytest.raises(StoreUnavailableError, match="nowhere"):
        await store.backup(tmp_path / "nowhere" / "backup.db")
    await store.close()
