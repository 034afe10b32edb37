"""Receipts of delivery (K): who has seen an answer."""

from __future__ import annotations

from goldenpath.errors import PositionError
from goldenpath.model.ids import Mark, RunId, Seq
from goldenpath.store.interface import Position
from tests.store.harness import (
    ADA,
    BOB,
    PHONE,
    TABLET,
    Engine,
    Site,
    child,
    clause,
    completed,
    created,
    raises,
)


@clause
async def k1_acknowledgements_only_grow(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head)))
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(1)))
    assert await store.undelivered() == []
    await raises(
        PositionError, store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head + 1)))
    )
    store = await site.open()
    assert await store.undelivered() == []


@clause
async def k1_a_device_too_many_counts_without_its_name(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(1)), 1)
    assert len(await store.undelivered()) == 1
    await store.acknowledge(ADA, TABLET, Position(Mark("m1"), Seq(engine.head)), 1)
    assert await store.undelivered() == []
    # The one that has a name goes on under it, and takes nothing back.
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(2)), 1)
    await raises(PositionError, store.acknowledge(ADA, PHONE, Position(Mark("no"), Seq(1)), 1))
    store = await site.open()
    assert await store.undelivered() == []


@clause
async def k2_undelivered_until_acked_or_fetched(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    first = engine.head
    await engine.whole("r2")
    assert {u.run.run_id for u in await store.undelivered()} == {"r1", "r2"}
    await store.acknowledge(ADA, None, Position(Mark("m1"), Seq(first)))
    assert [u.run.run_id for u in await store.undelivered()] == ["r2"]


@clause
async def k2_only_ended_root_runs_can_be_undelivered(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.ask("r1")
    await engine.write(*child("r2", "r1"))
    await engine.write(("t", "r2", completed()))
    assert await store.undelivered() == []
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head)))
    await engine.write(("t", "r1", completed()))
    store = await site.open()
    assert [(u.user, u.run.run_id) for u in await store.undelivered()] == [(ADA, "r1")]
    # The head of a device that saw its terminal; one entry less is not enough.
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head - 1)))
    assert len(await store.undelivered()) == 1
    await store.acknowledge(ADA, None, Position(Mark("m1"), Seq(engine.head)))
    assert await store.undelivered() == []


@clause
async def k3_fetched_is_for_the_named_runs(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    for run in ("r1", "r2"):
        await engine.whole(run)
    await engine.ask("r3")
    await store.fetched(ADA, [RunId("r2"), RunId("r3"), RunId("unknown")])
    store = await site.open()
    assert [u.run.run_id for u in await store.undelivered()] == ["r1"]
    engine = await Engine.begin(store, mark="m2")
    await engine.end("r3")
    assert {u.run.run_id for u in await store.undelivered()} == {"r1", "r3"}


@clause
async def k3_fetched_of_a_foreign_run_is_nothing(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    await store.fetched(BOB, [RunId("r1")])
    assert [u.run.run_id for u in await store.undelivered()] == ["r1"]
    await store.fetched(ADA, [RunId("r1")])
    assert await store.undelivered() == []
