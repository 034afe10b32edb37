"""What is erased takes its time, and holds nobody up: neither its own user nor another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from goldenpath.errors import StoreRefusedError
from goldenpath.model import events
from goldenpath.model.ids import ThreadId
from goldenpath.store.postgres import PostgresStore
from tests.databases import Database
from tests.store.harness import ADA, BOB, NOW, Engine, created, raises, seen, submit

pytestmark = pytest.mark.anyio
Two = tuple[PostgresStore, PostgresStore]
_STOP = 20.0


class Gate:
    """Stops whatever rewrites a chunk, until it is opened."""

    def __init__(self, one: Database, keeper: Any) -> None:
        self._one = one
        self._keeper = keeper

    async def reached(self, work: asyncio.Future[Any]) -> None:
        waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        while await asyncio.to_thread(self._one.sql, waits) == "0":
            assert not work.done()

    async def open(self) -> None:
        await self._keeper.execute("SELECT pg_advisory_unlock_all()")


@pytest.fixture
async def gate(one: Database) -> AsyncIterator[Gate]:
    one.sql("CREATE FUNCTION goldenpath.gate() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN NEW; END'")  # fmt: skip
    one.sql("CREATE TRIGGER gate BEFORE UPDATE ON goldenpath.chunks"
            " FOR EACH ROW EXECUTE FUNCTION goldenpath.gate()")  # fmt: skip
    keeper: Any = await asyncpg.connect(one.url)  # type: ignore[no-untyped-call]
    await keeper.execute("SELECT pg_advisory_lock(7)")
    yield Gate(one, keeper)
    await keeper.close()


async def test_a_long_pruning_holds_no_commands_and_appends_up(stores: Two, gate: Gate) -> None:
    store, other = stores
    ada, bob = await Engine.begin(store), await Engine.begin(store, BOB)
    await ada.write(created("t"))
    await ada.whole("r1")
    before = await seen(other)
    pruning = asyncio.ensure_future(other.prune(NOW + 10**6))
    await gate.reached(pruning)
    async with asyncio.timeout(_STOP):
        await asyncio.gather(
            submit(store, "a"), submit(store, "b", user=BOB), submit(other, "c"),
            ada.write(created("u")), bob.write(created("v")),
        )  # fmt: skip
    assert (await seen(other))[: len(before)] == before  # nothing, not a half of it
    assert not pruning.done()
    await gate.open()
    assert await pruning == 1
    kinds = [event["type"] for event in await seen(other)]
    assert "agent_output" not in kinds and kinds.count("thread_created") == 2


async def test_hosts_that_prune_at_once_do_not_do_the_same(stores: Two, gate: Gate) -> None:
    store, other = stores
    ada = await Engine.begin(store)
    await ada.write(created("t"))
    await ada.whole("r1")
    pruning = asyncio.ensure_future(other.prune(NOW + 10**6))
    await gate.reached(pruning)
    async with asyncio.timeout(_STOP):
        assert await store.prune(NOW + 10**6) == 0
    await gate.open()
    assert await pruning == 1


async def test_a_long_erasure_holds_no_commands_up(stores: Two, gate: Gate) -> None:
    store, other = stores
    ada, bob = await Engine.begin(store), await Engine.begin(store, BOB)
    await ada.write(created("t"))
    await ada.whole("r1")
    erasing = asyncio.ensure_future(
        ada.write(("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")])
    )
    await gate.reached(erasing)
    async with asyncio.timeout(_STOP):
        await asyncio.gather(
            submit(store, "a"), submit(other, "b"), submit(store, "c", user=BOB),
            bob.write(created("v")),
        )  # fmt: skip
    await gate.open()
    await erasing
    assert [event["type"] for event in await seen(other)] == ["thread_deleted"]


async def test_an_erasure_that_is_fenced_meanwhile_erases_nothing(stores: Two, gate: Gate) -> None:
    store, other = stores
    ada = await Engine.begin(store)
    await ada.write(created("t"))
    await ada.whole("r1")
    before = await seen(other)
    erasing = asyncio.ensure_future(
        ada.write(("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")])
    )
    await gate.reached(erasing)
    async with asyncio.timeout(_STOP):
        await store.release(ADA, ada.activation.epoch)
        await Engine.begin(other, mark="m2")
    await gate.open()
    await raises(StoreRefusedError, erasing)
    assert await seen(other) == before
