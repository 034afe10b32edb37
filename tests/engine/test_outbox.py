"""Appends of one activation: packed, in order, repeated while the outcome is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from goldenpath.engine.outbox import FencedError, Outbox
from goldenpath.engine.ports import SystemClock, SystemIds
from goldenpath.engine.ticks import Ticks
from goldenpath.errors import CodecError, StoreUnavailableError
from goldenpath.model import events
from goldenpath.model.grammar import UserState
from goldenpath.model.ids import HostId, Mark, PartId, RunId, Seq, ThreadId, UserId
from goldenpath.store.interface import Append
from goldenpath.testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

ADA = UserId("ada")


class Recording(MemoryStore):
    """Notes each append; fails as often as it is told to, before or after taking effect."""

    def __init__(self) -> None:
        super().__init__()
        self.appends: list[Append] = []
        self.fails: list[tuple[str, Exception]] = []

    async def append(self, append: Append) -> None:
        self.appends.append(append)
        moment, error = self.fails.pop(0) if self.fails else ("", None)
        if moment != "before":
            await super().append(append)
        if error is not None:
            raise error


class Bench:
    def __init__(self, store: Recording, outbox: Outbox) -> None:
        self.store = store
        self.outbox = outbox
        self.due: int | None = None

    def add(self, *threads: str) -> None:
        items = [(ThreadId(name), None, events.ThreadCreated(title=name)) for name in threads]
        self.outbox.add(items)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    store = Recording()
    activation = await store.acquire(ADA, HostId("h"), Mark("m"))
    state = UserState.restore(head=Seq(0), open_runs=[], approvals=[], entries=[])
    it: Any = None
    outbox = Outbox(
        store,
        ADA,
        activation,
        state,
        SystemClock(),
        SystemIds(),
        Ticks(),
        due=lambda: it.due,
        settled=lambda outcome: None,
    )
    it = Bench(store, outbox)
    yield it
    outbox.close()


async def test_what_is_added_in_one_turn_is_one_append(bench: Bench) -> None:
    bench.add("a")
    bench.add("b", "c")
    await bench.outbox.durable()
    assert [len(append.entries) for append in bench.store.appends] == [3]
    assert (bench.outbox.head, bench.outbox.unsent_bytes) == (3, 0)


async def test_what_comes_while_one_is_under_way_is_the_next(bench: Bench) -> None:
    bench.add("a")
    await asyncio.sleep(0)  # it is on its way
    bench.add("b")
    bench.add("c")
    await bench.outbox.durable()
    assert [[e.seq for e in append.entries] for append in bench.store.appends] == [[1], [2, 3]]
    assert [append.head for append in bench.store.appends] == [0, 1]


async def test_an_entry_that_may_not_come_ends_the_activation_loudly(bench: Bench) -> None:
    """Whoever asked may swallow the error, as an agent's code can: the engine hears of it."""
    output = events.AgentOutput(part_id=PartId("p"), offset=0, text="of no run")
    with pytest.raises(RuntimeError, match="wanted to write what may not come"):
        bench.outbox.add([(ThreadId("t"), RunId("r"), output)])
    with pytest.raises(RuntimeError, match="wanted to write what may not come"):
        await bench.outbox.guard()
    with pytest.raises(FencedError):
        bench.add("a")
    assert not bench.store.appends


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_unknown_outcome_is_repeated_with_its_id(bench: Bench, moment: str) -> None:
    bench.store.fails = [(moment, StoreUnavailableError("gone"))] * 2
    bench.add("a")
    await bench.outbox.durable()
    assert len({append.append_id for append in bench.store.appends}) == 1
    assert len(bench.store.appends) == 3
    assert [e.seq for e in bench.store.disk.log(ADA)] == [1]


async def test_drained_waits_for_due_too_and_does_not_spin(bench: Bench) -> None:
    bench.due = 77
    bench.store.fails = [("before", StoreUnavailableError("gone"))]
    bench.outbox.touch()
    draining = asyncio.create_task(bench.outbox.drained())
    turns = 0
    while not draining.done() and turns < 100_000:
        turns += 1
        await asyncio.sleep(0.001)
    assert draining.done()
    assert [append.due_ms for append in bench.store.appends] == [77, 77]
    assert bench.outbox.idle
    await bench.outbox.drained()  # at once


async def test_a_refused_append_ends_the_activation_for_all_who_wait(bench: Bench) -> None:
    await bench.store.acquire(ADA, HostId("h"), Mark("another"))
    bench.add("a")
    waiting = [
        asyncio.create_task(work)
        for work in (bench.outbox.durable(), bench.outbox.drained(), bench.outbox.guard())
    ]
    ends = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(end) for end in ends] == [FencedError] * 3
    with pytest.raises(FencedError):
        bench.add("b")
    assert bench.store.disk.log(ADA) == []


async def test_another_error_of_the_store_comes_out_of_the_guard(bench: Bench) -> None:
    bench.store.fails = [("before", CodecError("cannot be stored"))]
    bench.add("a")
    with pytest.raises(CodecError):
        await bench.outbox.guard()
    assert bench.outbox.fenced


async def test_what_lands_after_the_end_tells_nobody(bench: Bench) -> None:
    bench.add("a")
    waiting = asyncio.create_task(bench.outbox.durable())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    bench.outbox.close()
    with pytest.raises(FencedError):
        await waiting
    await bench.store.head(ADA)
    assert bench.outbox.fenced
