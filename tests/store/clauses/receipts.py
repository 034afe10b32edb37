"""Receipts of delivery (K): who has seen an answer."""

from __future__ import annotations

import asyncio
from typing import Any

from goldenpath.errors import PositionError
from goldenpath.model import events
from goldenpath.model.ids import Mark, RunId, Seq, ThreadId, UserId
from goldenpath.store.interface import Notice, Position, Store
from tests.store.harness import (
    ADA,
    BOB,
    HOUR,
    LATER,
    NOW,
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


ENDED = NOW + 5
"""`Engine` counts a millisecond for each entry: the first run of `one_answer` ends then."""
DAY = 24 * HOUR


async def claim(store: Store, now: int = ENDED + HOUR, **options: Any) -> list[tuple[str, int]]:
    """(run, attempt) of what is claimed, of answers that ended at any time before."""
    times = {"ended_after_ms": 0, "ended_before_ms": now, **options}
    found = await store.claim_notices(now, **times)
    return [(one.run_id, one.attempt) for one in found.notices]


async def one_answer(store: Store, user: UserId = ADA) -> Engine:
    engine = await Engine.begin(store, user)
    await engine.write(created("t"))
    await engine.whole("r1")
    return engine


@clause
async def k4_a_notice_is_claimed_once_and_again_after_its_pause(site: Site) -> None:
    store = await site.open()
    await one_answer(store)
    now = ENDED + HOUR
    claims = [
        store.claim_notices(now, ended_after_ms=0, ended_before_ms=now, stretch=1.5)
        for _ in range(5)
    ]
    ((only,),) = [one.notices for one in await asyncio.gather(*claims) if one.notices]
    row = await store.run(ADA, RunId("r1"))
    assert row is not None and row.ended_ms is not None
    assert only == Notice(
        user=ADA,
        thread_id=ThreadId("t"),
        run_id=RunId("r1"),
        agent="worker",
        status="succeeded",
        ended_ms=row.ended_ms,
        attempt=1,
        again_ms=now + 45_000,
    )
    store = await site.open()
    assert await claim(store, now + 44_999) == []
    assert await claim(store, now + 45_000) == [("r1", 2)]
    assert await claim(store, now + 45_000 + 59_999) == []
    assert await claim(store, now + 45_000 + 60_000) == [("r1", 3)]
    later = now + DAY
    for attempt in range(4, 12):
        assert await claim(store, later) == [("r1", attempt)]
        later += HOUR  # no pause is longer
    assert await claim(store, later - 1) == []


@clause
async def k4_only_of_what_ended_in_the_time_asked_for(site: Site) -> None:
    store = await site.open()
    engine = await one_answer(store)
    row = await store.run(ADA, RunId("r1"))
    assert row is not None and row.ended_ms is not None
    await engine.ask("open")
    await engine.write(*child("below", "open"), ("t", "below", completed()))
    assert await claim(store, ended_before_ms=row.ended_ms - 1) == []
    assert await claim(store, ended_before_ms=row.ended_ms) == [("r1", 1)]
    late = await store.claim_notices(
        ENDED + DAY, ended_after_ms=row.ended_ms, ended_before_ms=ENDED + DAY
    )
    assert (late.notices, late.given_up) == ([], 1)
    store = await site.open()
    again = await store.claim_notices(ENDED + DAY, ended_after_ms=0, ended_before_ms=ENDED + DAY)
    assert (again.notices, again.given_up) == ([], 0)
    assert [u.run.run_id for u in await store.undelivered()] == ["r1"]


@clause
async def k4_only_of_what_nobody_received(site: Site) -> None:
    store = await site.open()
    engine = await one_answer(store)
    first = engine.head
    for run in ("r2", "r3"):
        await engine.whole(run)
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(first)))
    await store.fetched(ADA, [RunId("r3")])
    assert await claim(store) == [("r2", 1)]
    await store.acknowledge(ADA, None, Position(Mark("m1"), Seq(engine.head)))
    assert await claim(store, ENDED + DAY) == []
    store = await site.open()
    assert await claim(store, ENDED + DAY) == []


@clause
async def k4_the_longest_waiting_come_first_and_not_more_than_asked_for(site: Site) -> None:
    store = await site.open()
    for user in (ADA, BOB):
        engine = await one_answer(store, user)
        await engine.whole("r2")
    assert await claim(store, limit=2) == [("r1", 1), ("r1", 1)]
    assert await claim(store, limit=10) == [("r2", 1), ("r2", 1)]
    assert len(await claim(store, ENDED + DAY, limit=3)) == 3
    assert len(await claim(store, ENDED + DAY, limit=3)) == 1


@clause
async def k5_what_was_notified_is_for_ever(site: Site) -> None:
    store = await site.open()
    for user in (ADA, BOB):
        engine = await one_answer(store, user)
        await engine.whole("r2")
    assert len(await claim(store)) == 4
    await store.notified(ADA, RunId("r1"))
    await store.notified(BOB, RunId("unknown"))
    left = [(ADA, "r2"), (BOB, "r1"), (BOB, "r2")]
    now = ENDED + 2 * HOUR
    found = await store.claim_notices(now, ended_after_ms=0, ended_before_ms=now)
    assert sorted((one.user, one.run_id) for one in found.notices) == left
    store = await site.open()
    now = ENDED + DAY
    found = await store.claim_notices(now, ended_after_ms=0, ended_before_ms=now)
    assert sorted((one.user, one.run_id) for one in found.notices) == left
    await store.backup(site.path())
    copy = await site.restored(site.path())
    now += DAY
    found = await copy.claim_notices(now, ended_after_ms=0, ended_before_ms=now)
    assert sorted((one.user, one.run_id) for one in found.notices) == left
    assert {one.attempt for one in found.notices} == {4}
    # It is still an answer that nobody received.
    assert len(await store.undelivered()) == 4


@clause
async def k6_what_a_user_erased_is_in_no_claim(site: Site) -> None:
    store = await site.open()
    engine = await one_answer(store)
    await engine.write(created("t2"))
    await engine.whole("r2", "t2")
    await one_answer(store, BOB)
    assert len(await claim(store)) == 3
    await engine.write(
        ("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")], due_ms=None
    )
    assert sorted(await claim(store, ENDED + DAY)) == [("r1", 2), ("r2", 2)]  # bob's r1
    await engine.write(erase_user=True)
    assert await claim(store, ENDED + 2 * DAY) == [("r1", 3)]
    store = await site.open()
    assert await claim(store, ENDED + 3 * DAY) == [("r1", 4)]


@clause
async def k6_what_is_erased_by_age_is_in_no_claim(site: Site) -> None:
    store = await site.open()
    await one_answer(store)
    assert await claim(store) == [("r1", 1)]
    await store.prune(LATER)
    assert await claim(store, ENDED + DAY) == [("r1", 2)]
    await store.prune(LATER, everything=True)
    assert await claim(store, ENDED + 2 * DAY) == []
    store = await site.open()
    assert await claim(store, ENDED + 3 * DAY) == []
