"""Appending (A): what an engine wrote is there, whole and once."""

from __future__ import annotations

import asyncio

from goldenpath.errors import StoreRefusedError
from goldenpath.model import events
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import CommandId, Mark, Seq, ThreadId
from goldenpath.store.interface import Position, Refusal
from tests.store.harness import (
    ADA,
    BOB,
    BUSY,
    NOW,
    STOP,
    USERS,
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
async def a1_epoch_mark_and_head_must_equal(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created())
    for wrong in ({"epoch": 99}, {"epoch": 0}, {"mark": Mark("other")}, {"head": Seq(0)},
                  {"head": Seq(5)}):  # fmt: skip
        append = engine.append((None, None, settled("x")), **wrong)
        await raises(StoreRefusedError, store.append(append))
        assert (await store.head(ADA)).cursor == 1
    await engine.write((None, None, settled("x")))


@clause
async def a1_a_refused_append_changes_nothing_at_all(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created(), due_ms=NOW + 7)
    await submit(store, "a")
    wrong = engine.append(
        ("t", None, events.ThreadUpdated(title="other", archived=True)),
        (None, None, settled("a")),
        head=Seq(0), due_ms=NOW, erase_threads=[ThreadId("t")],
    )  # fmt: skip
    await raises(StoreRefusedError, store.append(wrong))
    for again in (False, True):
        if again:
            store = await site.open()
        thread = await store.thread(ADA, ThreadId("t"))
        assert thread is not None and thread.title == "title"
        assert await store.next_due() == NOW + 7
        assert [c.command_id for c in await store.pending(ADA)] == ["a"]
        assert len(await seen(store)) == 1


@clause
async def a1_of_two_at_once_one_is_applied(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    async with asyncio.timeout(STOP):
        for number in range(10):
            rivals = [engine.append(created(f"t{number}-{name}")) for name in "abc"]
            ended = await asyncio.gather(
                *(store.append(one) for one in rivals), return_exceptions=True
            )
            refused = [one for one in ended if one is not None]
            assert len(refused) == 2 and all(isinstance(one, StoreRefusedError) for one in refused)
            engine.head += 1
            assert (await store.head(ADA)).cursor == engine.head
    assert [e["seq"] for e in await seen(store)] == list(range(1, 11))
    assert len(await store.threads(ADA, 99, None)) == 10


@clause
async def a2_all_of_an_append_or_nothing(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    good = engine.append(created(), (None, None, settled("x")))
    gap = [good.entries[0], EncodedEntry(3, "command_settled", True, good.entries[1].json)]
    await raises(StoreRefusedError, store.append(engine.append(entries=gap)))
    assert (await store.head(ADA)).cursor == 0 and await seen(store) == []
    await store.append(good)
    store = await site.open()
    assert (await store.head(ADA)).cursor == 2
    _, entries = await store.entries(ADA, Seq(0))
    assert [e.seq for e in entries] == [1, 2]
    assert [e.json for e in entries] == [e.json for e in good.entries]


@clause
async def a2_entries_follow_the_head(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    two = engine.append(created("t"), created("u")).entries
    for wrong in ([two[1]], [two[1], two[0]], [two[0], two[0]], [two[0], two[1], two[1]]):
        await raises(StoreRefusedError, store.append(engine.append(entries=wrong)))
    assert await store.threads(ADA, 9, None) == [] and await seen(store) == []
    await store.append(engine.append(entries=two))
    assert [e["thread_id"] for e in await seen(store)] == ["t", "u"]


@clause
async def a3_the_last_append_may_be_repeated(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    append = await engine.write(created())
    await store.append(append)
    assert (await store.head(ADA)).cursor == 1
    store = await site.open()
    await Engine.begin(store, mark="m2")
    await store.append(append)
    assert (await store.head(ADA)).cursor == 1


@clause
async def a3_an_older_append_is_not_applied_again(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    first = await engine.write(created("t"))
    await engine.write(created("u"))
    await raises(StoreRefusedError, store.append(first))
    assert (await store.head(ADA)).cursor == 2
    empty = await engine.write(due_ms=NOW + 1)
    await store.append(empty)
    assert (await store.head(ADA)).cursor == 2


@clause
async def a3_the_same_append_twice_at_once_is_one(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    async with asyncio.timeout(STOP):
        for number in range(5):
            append = engine.append(created(f"t{number}"))
            await asyncio.gather(*(store.append(append) for _ in range(3)))
            engine.head += 1
    assert [e["seq"] for e in await seen(store)] == [1, 2, 3, 4, 5]


@clause
async def a4_what_returned_is_durable(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created())
    await engine.whole("r1")
    before = await seen(store)
    store = await site.open()
    assert await seen(store) == before and len(before) == 5


@clause
async def a5_users_are_independent(site: Site) -> None:
    store = await site.open()
    good = await Engine.begin(store, ADA)
    bad = await Engine.begin(store, BOB)
    results = await asyncio.gather(
        store.append(good.append(created())),
        store.append(bad.append(created(), epoch=77)),
        return_exceptions=True,
    )
    assert results[0] is None and isinstance(results[1], StoreRefusedError)
    assert [(await store.head(u)).cursor for u in (ADA, BOB)] == [1, 0]


@clause
async def a5_the_same_append_id_of_two_users_is_two_appends(site: Site) -> None:
    store = await site.open()
    for user in (ADA, BOB):
        await (await Engine.begin(store, user)).write(created())
    assert [len(await seen(store, user)) for user in (ADA, BOB)] == [1, 1]


@clause
async def a5_a_group_of_users_with_a_refused_one_in_it(site: Site) -> None:
    store = await site.open()
    engines = [await Engine.begin(store, user) for user in USERS]

    async def wrong(engine: Engine) -> bool:
        try:
            await store.append(engine.append(created("wrong"), epoch=77))
        except StoreRefusedError:
            return True
        return False

    async with asyncio.timeout(STOP):
        for number in range(8):
            odd = engines[number % len(engines)]
            ended = await asyncio.gather(
                *(one.write(created(f"t{number}"), created(f"u{number}"))
                  for one in engines if one is not odd),
                wrong(odd),
            )  # fmt: skip
            assert ended[-1] is True
    for _ in range(2):
        for engine in engines:
            _, entries = await store.entries(engine.user, Seq(0))
            assert [one.seq for one in entries] == list(range(1, engine.head + 1))
            assert len(await seen(store, engine.user)) == engine.head
            assert not [
                t for t in await store.threads(engine.user, 99, None) if t.thread_id == "wrong"
            ]
        store = await site.open()


@clause
async def a6_an_append_without_entries(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(due_ms=NOW)
    assert (await store.head(ADA)).cursor == 0
    assert await store.demand(NOW) == [ADA]


@clause
async def a6_an_append_without_entries_refuses_and_clears_due(site: Site) -> None:
    store = await site.open()
    await submit(store, "a")
    engine = await Engine.begin(store)
    await engine.write(created(), due_ms=NOW)
    await engine.write(refused=[Refusal(CommandId("a"), BUSY)])
    store = await site.open()
    assert await store.demand(NOW) == [] and await store.next_due() is None
    assert (await store.head(ADA)) == Position(Mark("m1"), Seq(1))
