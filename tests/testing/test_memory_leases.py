"""Leases of hosts that share a disk: taken over when a host is seen not to renew for long."""

from __future__ import annotations

import asyncio

import pytest

from goldenpath.errors import LeaseHeldError
from goldenpath.model.ids import HostId, Mark, UserId
from goldenpath.store.interface import HostReport
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

ADA, ONE, TWO = UserId("ada"), HostId("one"), HostId("two")
LEASE = 0.1


@pytest.fixture
async def stores() -> tuple[MemoryStore, MemoryStore]:
    """The first host holds the lease."""
    disk = Disk()
    one, two = (MemoryStore(disk, lease_seconds=LEASE) for _ in range(2))
    await one.renew(ONE, HostReport())
    await one.acquire(ADA, ONE, Mark("m1"))
    return one, two


async def test_a_host_that_renews_keeps_its_leases(stores: tuple[MemoryStore, MemoryStore]) -> None:
    one, two = stores
    for _ in range(6):
        await one.renew(ONE, HostReport())
        with pytest.raises(LeaseHeldError):
            await two.acquire(ADA, TWO, Mark("m2"))
        await asyncio.sleep(LEASE / 3)


async def test_a_silent_host_loses_them_after_a_lease_and_not_before(
    stores: tuple[MemoryStore, MemoryStore],
) -> None:
    _, two = stores
    await asyncio.sleep(2 * LEASE)
    with pytest.raises(LeaseHeldError):  # nobody has looked until now
        await two.acquire(ADA, TWO, Mark("m2"))
    await asyncio.sleep(2 * LEASE)
    activation = await two.acquire(ADA, TWO, Mark("m2"))
    assert activation.epoch == 2


async def test_looking_begins_anew_after_an_error(stores: tuple[MemoryStore, MemoryStore]) -> None:
    _, two = stores
    await two.renew(TWO, HostReport())
    await asyncio.sleep(2 * LEASE)
    two.doubt()
    with pytest.raises(LeaseHeldError):
        await two.acquire(ADA, TWO, Mark("m2"))
