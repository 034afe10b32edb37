"""What stands between a log and whoever may not write or see it, check by check, on each store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goldenpath.errors import PositionError, StoreRefusedError
from goldenpath.model import events
from goldenpath.model.entries import format_time
from goldenpath.model.ids import ApprovalId, CommandId, Mark, RunId, Seq, ThreadId, UserId
from goldenpath.model.journal import StepKey, StepStarted
from goldenpath.store.interface import Position, Store
from goldenpath.store.sqlite import open_store
from goldenpath.testing.memory_store import MemoryStore
from tests.store.sqlite.logs import HOST, Log

pytestmark = pytest.mark.anyio

OTHER = UserId("other")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    one: Any = MemoryStore() if request.param == "memory" else await open_store(tmp_path / "s.db")
    yield one
    await one.close()


@pytest.mark.parametrize(
    "forged", [{"epoch": 1}, {"epoch": 3}, {"mark": Mark("m1")}, {"head": Seq(0)}, {"head": Seq(9)}]
)
async def test_an_append_that_differs_in_one_of_epoch_mark_and_head_writes_nothing(
    store: Store, forged: dict[str, Any]
) -> None:
    log = await Log.begin(store, "ann", "m1")
    await log.new_thread()
    await log.activate("m2")
    append = msgspec.structs.replace(
        log.make([events.ThreadUpdated(title="t", archived=True)]), **forged
    )
    if "head" in forged:
        wrong = Log(store, log.user, head=forged["head"])
        entries = wrong.entries([events.ThreadUpdated(title="t", archived=True)])
        append = msgspec.structs.replace(append, entries=entries)
    with pytest.raises(StoreRefusedError):
        await store.append(append)
    assert (await store.head(log.user)).cursor == log.head
    await log.append([events.ThreadUpdated(title="t", archived=True)])


async def test_an_append_without_entries_needs_the_head_too(store: Store) -> None:
    log = await Log.begin(store, "ann")
    await log.new_thread()
    stale = msgspec.structs.replace(log.make([]), head=Seq(0), due_ms=5)
    with pytest.raises(StoreRefusedError):
        await store.append(stale)
    assert await store.demand(10) == []


async def test_entries_follow_the_head(store: Store) -> None:
    log = await Log.begin(store, "ann")
    await log.new_thread()
    ahead = Log(store, log.user, head=log.head + 1)
    entries = ahead.entries([events.ThreadUpdated(title="t", archived=True)])
    with pytest.raises(StoreRefusedError):
        await store.append(msgspec.structs.replace(log.make([]), entries=entries))
    assert (await store.head(log.user)).cursor == log.head


async def test_an_append_is_applied_once_however_often_it_comes(store: Store) -> None:
    log = await Log.begin(store, "ann")
    append = log.make([events.ThreadCreated(title="once")])
    await log.send(append)
    await store.append(append)
    assert (await store.head(log.user)).cursor == 1


@pytest.mark.parametrize("settled", [False, True], ids=["new", "settled"])
async def test_what_is_not_a_position_of_this_log_is_refused(store: Store, settled: bool) -> None:
    log = await Log.begin(store, "ann", "m1")
    await log.new_thread()
    await log.activate("m2")
    await log.new_thread("t2")
    for mark in ("m3", "m4", "m5", "m6", "m7", "m8", "m9", "m10", "m11", "m12"):
        await log.activate(mark)
    if settled:
        await store.compact()
    for mark, cursor in (("m1", 2), ("m1", 1 << 40), ("m2", 3), ("m12", 3), ("no", 1), ("0", 1)):
        with pytest.raises(PositionError):
            await store.read(log.user, Position(Mark(mark), Seq(cursor)))
    for mark, cursor in (("0", 0), ("m1", 1), ("m2", 2), ("m2", 1), ("m12", 2)):
        batch = await store.read(log.user, Position(Mark(mark), Seq(cursor)))
        assert batch.to == 2


@pytest.mark.parametrize("settled", [False, True], ids=["new", "settled"])
async def test_nothing_of_one_user_is_another_s(store: Store, settled: bool) -> None:
    log = await Log.begin(store, "ann")
    await log.new_thread("t1", "zebra")
    await log.ask("r1", "zebra question")
    await log.append(
        [
            events.ApprovalRequested(
                approval_id=ApprovalId("a1"), call_id=None, tool=None, arguments={},
                prompt="zebra", expires=format_time(9_000_000),
            ),
            StepStarted(
                key=StepKey("", "approve", "x", 0), kind="approval",
                approval_id=ApprovalId("a1"), until_ms=9_000_000, remaining_ms=1,
            ),
        ],
        "r1",
    )  # fmt: skip
    await log.new_thread("t2")
    await log.ask("r2", "zebra second", "t2")
    await log.answer("r2", "zebra answer", "t2")
    foreign = await Log.begin(store, OTHER)
    await foreign.new_thread("t9", "own")
    await foreign.ask("r9", "own question", "t9")
    if settled:
        await store.compact()

    async def seen(user: UserId) -> list[object]:
        return [
            await store.thread(user, ThreadId("t1")),
            await store.run(user, RunId("r1")),
            await store.approval(user, ApprovalId("a1")),
            await store.history(user, ThreadId("t1"), 10, None),
            await store.outcome(user, CommandId("c-r1")),
            (await store.search(user, ["zebra"], 10)) or None,
        ]

    assert None not in await seen(log.user)
    assert await seen(OTHER) == [None] * 6
    lists = [
        await store.threads(OTHER, 10, None),
        await store.runs(OTHER, None, 10),
        await store.runs(OTHER, "succeeded", 10),
        await store.entries(OTHER, Seq(0), 100),
        await store.read(OTHER, Position(Mark("0"), Seq(0)), 100),
        await store.pending(OTHER),
    ]
    assert "zebra" not in repr(lists) and "own" in repr(lists)
    again = await store.acquire(OTHER, HOST, Mark("m2"))
    assert [run.run_id for run in again.open_runs] == ["r9"]
    assert again.open_approvals == [] and again.head == foreign.head
