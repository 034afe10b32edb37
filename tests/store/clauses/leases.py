"""Leases (L) and demand (D): one engine for each user, and a reason to have one."""

from __future__ import annotations

from goldenpath.errors import LeaseHeldError, PositionError, StoreRefusedError
from goldenpath.model.ids import CommandId, Mark, Seq, UserId
from goldenpath.store.interface import HostReport, Position, Refusal
from tests.store.harness import (
    ADA,
    BOB,
    BUSY,
    HOST,
    NOW,
    OTHER,
    Engine,
    Site,
    clause,
    created,
    raises,
    seen,
    settled,
    submit,
)


@clause
async def l1_epochs_only_grow(site: Site) -> None:
    epochs: list[int] = []
    for mark in ("m1", "m2", "m3"):
        store = await site.open()
        activation = await store.acquire(ADA, HOST, Mark(mark))
        assert activation.mark == mark
        epochs.append(activation.epoch)
    assert epochs == sorted(set(epochs))


@clause
async def l2_an_older_epoch_is_fenced(site: Site) -> None:
    store = await site.open()
    old = await Engine.begin(store, mark="m1")
    new = await Engine.begin(store, mark="m2")
    await raises(StoreRefusedError, store.append(old.append(created())))
    stolen = old.append(created(), mark=Mark("m2"))
    await raises(StoreRefusedError, store.append(stolen))
    await new.write(created())


@clause
async def l2_an_epoch_is_fenced_also_after_a_restart(site: Site) -> None:
    store = await site.open()
    old = await Engine.begin(store)
    store = await site.open()
    await store.acquire(ADA, OTHER, Mark("m2"))
    await raises(StoreRefusedError, store.append(old.append(created())))
    await raises(StoreRefusedError, store.append(old.append(created(), mark=Mark("m2"))))
    assert await seen(store) == []


@clause
async def l3_a_held_lease_is_another_hosts(site: Site) -> None:
    store = await site.open()
    await store.acquire(ADA, HOST, Mark("m1"))
    await raises(LeaseHeldError, store.acquire(ADA, OTHER, Mark("m2")))
    await store.acquire(BOB, OTHER, Mark("m3"))
    await store.acquire(ADA, HOST, Mark("m4"))


@clause
async def l3_the_lease_of_a_dead_process_is_free(site: Site) -> None:
    store = await site.open()
    old = await Engine.begin(store)
    await old.write(created())
    store = await site.open()
    activation = await store.acquire(ADA, OTHER, Mark("m2"))
    assert activation.epoch > old.activation.epoch and activation.head == 1
    await raises(LeaseHeldError, store.acquire(ADA, HOST, Mark("m3")))


@clause
async def l4_release_gives_back_the_newest_only(site: Site) -> None:
    store = await site.open()
    first = await store.acquire(ADA, HOST, Mark("m1"))
    second = await store.acquire(ADA, HOST, Mark("m2"))
    await store.release(ADA, first.epoch)
    await raises(LeaseHeldError, store.acquire(ADA, OTHER, Mark("m3")))
    await store.release(ADA, second.epoch)
    await store.acquire(ADA, OTHER, Mark("m4"))


@clause
async def l5_a_restored_store_goes_on_under_new_marks(site: Site) -> None:
    store = await site.open()
    await (await Engine.begin(store, mark="m1")).write(created("t1"))
    copy = site.path()
    await store.backup(copy)
    restored = await site.restored(copy)
    engine = await Engine.begin(restored, mark="m9")
    await engine.write(created("t2"))
    assert (await restored.head(ADA)) == Position(Mark("m9"), Seq(2))
    await raises(PositionError, restored.read(ADA, Position(Mark("m1"), Seq(2))))


@clause
async def l5_marks_are_those_that_were_given(site: Site) -> None:
    """Names of the caller's, random ones: what a store makes by itself a restored one repeats."""
    store = await site.open()
    await (await Engine.begin(store, mark="one")).write(created("t1"))
    await store.backup(site.path())
    after = await Engine.begin(store, mark="two")
    await after.write(created("t2"))
    assert (await store.head(ADA)).mark == "two"
    restored = await site.restored(site.path())
    again = await Engine.begin(restored, mark="three")
    await again.write(created("t3"))
    assert again.activation.mark == "three"
    assert (await restored.head(ADA)) == Position(Mark("three"), Seq(2))
    await raises(PositionError, restored.read(ADA, Position(Mark("two"), Seq(2))))


@clause
async def l6_held_is_what_a_host_has(site: Site) -> None:
    store = await site.open()
    assert await store.held(HOST) == {}
    first = await store.acquire(ADA, HOST, Mark("m1"))
    await store.acquire(BOB, OTHER, Mark("m2"))
    assert await store.held(HOST) == {ADA: first.epoch}
    again = await store.acquire(ADA, HOST, Mark("m3"))
    assert await store.held(HOST) == {ADA: again.epoch}
    await store.release(ADA, first.epoch)
    assert await store.held(HOST) == {ADA: again.epoch}
    await store.release(ADA, again.epoch)
    assert await store.held(HOST) == {} and set(await store.held(OTHER)) == {BOB}


@clause
async def l7_hosts_are_those_that_renewed(site: Site) -> None:
    store = await site.open()
    assert await store.hosts() == []
    await store.renew(HOST, HostReport(name="one", engines=1))
    pulse = await store.renew(HOST, HostReport(name="one", version="2", engines=3, draining=True))
    assert HOST not in [other.host for other in pulse.others] and not pulse.leave
    await store.acquire(ADA, HOST, Mark("m1"))
    (view,) = await store.hosts()
    assert view.host == HOST and view.leases == 1 and 0 <= view.age_ms < 60_000
    assert view.report == HostReport(name="one", version="2", engines=3, draining=True)
    assert view.started_ms >= 0


@clause
async def d1_demand_is_waiting_commands_or_due(site: Site) -> None:
    store = await site.open()
    assert await store.demand(NOW) == []
    await submit(store, "a", user=BOB)
    engine = await Engine.begin(store)
    await engine.write(created(), due_ms=NOW + 5)
    assert await store.demand(NOW) == [BOB]
    assert sorted(await store.demand(NOW + 5)) == [ADA, BOB]
    store = await site.open()
    assert sorted(await store.demand(NOW + 5)) == [ADA, BOB]
    bob = await Engine.begin(store, BOB)
    await bob.write((None, None, settled("a")))
    assert await store.demand(NOW) == []


@clause
async def d1_demand_ends_with_what_it_was_for(site: Site) -> None:
    store = await site.open()
    await submit(store, "a")
    await submit(store, "b", user=BOB)
    ada, bob = await Engine.begin(store, ADA), await Engine.begin(store, BOB)
    assert sorted(await store.demand(NOW)) == [ADA, BOB]
    assert len(await store.demand(NOW, 1)) == 1
    await ada.write(refused=[Refusal(CommandId("a"), BUSY)])
    await bob.write((None, None, settled("b")), due_ms=NOW + 1)
    assert await store.demand(NOW) == []
    store = await site.open()
    assert await store.demand(NOW) == [] and await store.demand(NOW + 1) == [BOB]
    await submit(store, "a")
    assert await store.demand(NOW) == [ADA]


@clause
async def d2_due_is_what_the_last_append_said(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created(), due_ms=NOW + 5)
    assert await store.next_due() == NOW + 5
    await engine.write(due_ms=NOW + 9)
    assert await store.next_due() == NOW + 9 and await store.demand(NOW + 8) == []
    await engine.write(due_ms=None)
    assert await store.next_due() is None and await store.demand(NOW + 99) == []


@clause
async def d2_next_due_is_the_least_of_all(site: Site) -> None:
    store = await site.open()
    ada, bob = await Engine.begin(store, ADA), await Engine.begin(store, BOB)
    await ada.write(due_ms=NOW + 5)
    await bob.write(due_ms=NOW + 3)
    assert await store.next_due() == NOW + 3
    store = await site.open()
    assert await store.next_due() == NOW + 3
    bob = await Engine.begin(store, BOB, "m2")
    assert await store.next_due() == NOW + 3
    await bob.write()
    assert await store.next_due() == NOW + 5


@clause
async def d3_demand_leaves_out_whom_a_living_host_serves(site: Site) -> None:
    store = await site.open()
    cleo = UserId("cleo")
    await store.renew(HOST, HostReport())
    await store.renew(OTHER, HostReport())
    ada, bob = await Engine.begin(store, ADA), await Engine.begin(store, BOB)
    await ada.write(due_ms=NOW)
    await bob.write(due_ms=NOW)
    await submit(store, "a", user=BOB)
    await submit(store, "a", user=cleo)
    assert sorted(await store.demand(NOW)) == [ADA, BOB, cleo]
    # Whoever asks finds the other host alive when it wants what is the other's.
    await raises(LeaseHeldError, store.acquire(ADA, OTHER, Mark("m9")))
    assert await store.demand(NOW, host=OTHER) == [cleo]
    assert sorted(await store.demand(NOW, host=HOST)) == [BOB, cleo]
    assert len(await store.demand(NOW, 1, HOST)) == 1
    await store.release(ADA, ada.activation.epoch)
    assert sorted(await store.demand(NOW, host=OTHER)) == [ADA, cleo]
    assert sorted(await store.demand(NOW, host=HOST)) == [ADA, BOB, cleo]
