"""Inbox (S): what was submitted is there until it is settled."""

from __future__ import annotations

import asyncio

from goldenpath.errors import RefusedError, StoreRefusedError
from goldenpath.model.commands import Receipt, body_hash
from goldenpath.model.ids import CommandId
from goldenpath.store.interface import Refusal
from tests.store.harness import (
    ADA,
    BOB,
    BODY,
    BUSY,
    ELSE,
    HOUR,
    NOW,
    STOP,
    Engine,
    Site,
    clause,
    created,
    raises,
    settled,
    submit,
)


@clause
async def s1_submit_is_durable_and_tells_the_state(site: Site) -> None:
    store = await site.open()
    assert (await submit(store, "a")).state == "new"
    assert (await submit(store, "a")).state == "waiting"
    store = await site.open()
    assert (await submit(store, "a")).state == "waiting"
    engine = await Engine.begin(store)
    await engine.write((None, None, settled("a")))
    assert (await submit(store, "a")).state == "settled"
    store = await site.open()
    again = await submit(store, "a")
    assert again.state == "settled" and again.receipt.command_id == "a"


@clause
async def s1_a_receipt_stays_with_all_that_it_says(site: Site) -> None:
    store = await site.open()
    await submit(store, "c-r1")
    engine = await Engine.begin(store)
    await engine.write(created())
    await engine.whole("r1")
    for again in (False, True):
        if again:
            store = await site.open()
        receipt = (await submit(store, "c-r1")).receipt
        assert (receipt.run_id, receipt.thread_id, receipt.seq) == ("r1", "t", 1)
        assert await store.outcome(ADA, CommandId("c-r1")) == receipt
        assert (await submit(store, "c-r1", user=BOB)).state != "settled"
        assert await store.pending(ADA) == []


@clause
async def s1_an_id_is_new_once_however_many_ask(site: Site) -> None:
    store = await site.open()
    async with asyncio.timeout(STOP):
        found = await asyncio.gather(*(submit(store, "a") for _ in range(10)))
        states = [one.state for one in found]
        assert sorted(states) == ["new"] + ["waiting"] * 9
        both = await asyncio.gather(
            submit(store, "b", BODY), submit(store, "b", ELSE), return_exceptions=True
        )
    refused = [one for one in both if isinstance(one, RefusedError)]
    assert [one.code for one in refused] == ["id_reused"]
    assert [c.command_id for c in await store.pending(ADA)] == ["a", "b"]


@clause
async def s2_an_id_is_one_body(site: Site) -> None:
    store = await site.open()
    await submit(store, "a")
    assert (await raises(RefusedError, submit(store, "a", ELSE))).code == "id_reused"  # type: ignore[attr-defined]
    engine = await Engine.begin(store)
    await engine.write((None, None, settled("a")))
    assert (await raises(RefusedError, submit(store, "a", ELSE))).code == "id_reused"  # type: ignore[attr-defined]


@clause
async def s2_a_refused_id_is_one_body_too(site: Site) -> None:
    store = await site.open()
    await submit(store, "a")
    engine = await Engine.begin(store)
    await engine.write(refused=[Refusal(CommandId("a"), BUSY)])
    for again in (False, True):
        if again:
            store = await site.open()
        error = await raises(RefusedError, submit(store, "a", ELSE))
        assert isinstance(error, RefusedError) and error.code == "id_reused"
    await submit(store, "a", ELSE, BOB)


@clause
async def s3_pending_in_order_of_submission(site: Site) -> None:
    store = await site.open()
    names = [f"c{n}" for n in (3, 1, 2, 0)]
    for name in names:
        await submit(store, name)
    await submit(store, "c1")
    assert [c.command_id for c in await store.pending(ADA)] == names
    assert await store.pending(BOB) == []
    store = await site.open()
    assert [c.command_id for c in await store.pending(ADA)] == names


@clause
async def s3_pending_gives_the_body_that_was_submitted(site: Site) -> None:
    store = await site.open()
    await submit(store, "a", ELSE)
    store = await site.open()
    (command,) = await store.pending(ADA)
    assert (command.body, command.body_hash) == (ELSE, body_hash(ELSE))


@clause
async def s4_append_settles_by_id_what_it_names(site: Site) -> None:
    store = await site.open()
    for name in "abc":
        await submit(store, name)
    engine = await Engine.begin(store)
    await engine.write((None, None, settled("b")), refused=[Refusal(CommandId("c"), BUSY)])
    assert [c.command_id for c in await store.pending(ADA)] == ["a"]
    assert isinstance(await store.outcome(ADA, CommandId("b")), Receipt)
    assert isinstance(await store.outcome(ADA, CommandId("c")), Refusal)
    assert await store.outcome(ADA, CommandId("a")) is None
    await submit(store, "d")
    await engine.write((None, None, settled("a")))
    assert [c.command_id for c in await store.pending(ADA)] == ["d"]


@clause
async def s4_what_an_append_ends_survives_with_it(site: Site) -> None:
    store = await site.open()
    for name in "abcd":
        await submit(store, name)
    engine = await Engine.begin(store)
    await raises(
        StoreRefusedError,
        store.append(
            engine.append(
                (None, None, settled("a")), epoch=99, refused=[Refusal(CommandId("b"), BUSY)]
            )
        ),
    )
    assert len(await store.pending(ADA)) == 4
    await engine.write((None, None, settled("c")), refused=[Refusal(CommandId("b"), BUSY)])
    store = await site.open()
    assert [c.command_id for c in await store.pending(ADA)] == ["a", "d"]
    outcomes = [await store.outcome(ADA, CommandId(name)) for name in "abcd"]
    assert [type(one) for one in outcomes] == [type(None), Refusal, Receipt, type(None)]
    assert outcomes[1] == Refusal(CommandId("b"), BUSY)


@clause
async def s4_what_is_submitted_during_an_append_stays_waiting(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    left: list[str] = []
    async with asyncio.timeout(STOP):
        for number in range(10):
            await submit(store, f"a{number}")
            # Both orders: what is begun first is not always what ends first.
            pair = [
                engine.write((None, None, settled(f"a{number}"))),
                submit(store, f"b{number}"),
            ]
            await asyncio.gather(*(pair if number % 2 else reversed(pair)))
            left.append(f"b{number}")
            assert [c.command_id for c in await store.pending(ADA)] == left
    store = await site.open()
    assert [c.command_id for c in await store.pending(ADA)] == left


@clause
async def s5_a_refused_id_may_be_sent_again(site: Site) -> None:
    store = await site.open()
    await submit(store, "a")
    engine = await Engine.begin(store)
    await engine.write(refused=[Refusal(CommandId("a"), BUSY)])
    assert await store.pending(ADA) == []
    assert (await submit(store, "a")).state == "new"
    assert [c.command_id for c in await store.pending(ADA)] == ["a"]
    await engine.write(refused=[Refusal(CommandId("a"), BUSY)])
    later = await store.submit(ADA, CommandId("a"), ELSE, NOW + 2 * HOUR)
    assert later.state == "new"


@clause
async def s5_a_refusal_is_kept_for_an_hour_also_after_a_restart(site: Site) -> None:
    store = await site.open()
    await submit(store, "a")
    engine = await Engine.begin(store)
    await engine.write(refused=[Refusal(CommandId("a"), BUSY)])
    store = await site.open()
    assert await store.pending(ADA) == [] and await store.demand(NOW) == []
    await raises(RefusedError, store.submit(ADA, CommandId("a"), ELSE, NOW + HOUR - 1))
    assert isinstance(await store.outcome(ADA, CommandId("a")), Refusal)
    assert (await submit(store, "a")).state == "new"
    assert await store.outcome(ADA, CommandId("a")) is None
    assert await store.demand(NOW) == [ADA]
