"""Receipts of delivery keep a bounded number of devices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from goldenpath.model.entries import Entry, encode
from goldenpath.model.events import ThreadCreated
from goldenpath.model.ids import AppendId, DeviceId, HostId, Mark, Seq, ThreadId, UserId
from goldenpath.store.interface import Append, Position, Store
from goldenpath.store.sqlite import open_store
from goldenpath.testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def _sqlite(path: Path) -> Store:
    return await open_store(path / "s.db", durability="process")


async def _memory(_: Path) -> Store:
    return MemoryStore()


@pytest.mark.parametrize("make", [_sqlite, _memory])
async def test_a_device_beyond_the_limit_has_no_row_of_its_own(
    make: Callable[[Path], Awaitable[Store]], tmp_path: Path
) -> None:
    store = await make(tmp_path)
    user = UserId("ada")
    activation = await store.acquire(user, HostId("h"), Mark("m"))
    created = Entry(Seq(1), 1, ThreadId("t"), None, ThreadCreated(title=None))
    await store.append(
        Append(
            user=user,
            epoch=activation.epoch,
            mark=activation.mark,
            head=Seq(0),
            append_id=AppendId("a"),
            entries=[encode(created)],
            now_ms=1,
        )
    )
    for number in range(5):
        await store.acknowledge(user, DeviceId(f"d{number}"), Position(Mark("m"), Seq(1)), 3)
    if isinstance(store, MemoryStore):
        kept = {str(device) for device in store.disk.user(user).acks if device is not None}
    else:
        kept = {name for name in store._core.states[user].acks if name}  # type: ignore[attr-defined]
    assert kept == {"d0", "d1", "d2"}
    await store.close()
