"""Reading (R): in order, without gap, as soon as it is durable."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from goldenpath.errors import PositionError, StoreRefusedError
from goldenpath.model import events
from goldenpath.model.ids import Mark, RunId, Seq, ThreadId
from goldenpath.store.interface import Position
from tests.store.harness import (
    ADA,
    BOB,
    LATER,
    START,
    STOP,
    USERS,
    Engine,
    Follower,
    Site,
    clause,
    created,
    raises,
    read_all,
    seen,
    submit,
)


@clause
async def r1_in_order_without_gap_while_it_grows(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created())
    got: list[int] = []

    async def follow() -> None:
        position, watch = START, store.watch(ADA)
        while position.cursor < 41:
            batch = await store.read(ADA, position, 4)
            assert batch.to - batch.from_ == len(batch.events) + batch.hidden
            assert batch.from_ == position.cursor
            got.extend(json.loads(e)["seq"] for e in batch.events)
            if batch.to == batch.from_:
                await watch.wait()
            position = Position(batch.mark, batch.to)
        watch.close()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(follow())
        for number in range(40):
            thought = events.AgentThinking(text=str(number))
            await engine.write(("t", "r", thought))
    assert got == list(range(1, 42))


@clause
async def r1_every_reader_of_every_user_sees_one_order(site: Site) -> None:
    store = await site.open()
    engines = [await Engine.begin(store, user) for user in USERS[:3]]
    done = {engine.user: False for engine in engines}
    followers = {
        engine.user: [Follower(store, engine.user, limit) for limit in (1, 3, 100)]
        for engine in engines
    }

    async def write(engine: Engine) -> None:
        await engine.write(created("t"))
        for number in range(6):
            await engine.whole(f"r{number}")
        done[engine.user] = True
        await submit(store, "wake", user=engine.user)

    def end(engine: Engine) -> Callable[[], int | None]:
        return lambda: engine.head if done[engine.user] else None

    async with asyncio.timeout(STOP), asyncio.TaskGroup() as group:
        for engine in engines:
            for one in followers[engine.user]:
                group.create_task(one.follow(end(engine)))
            group.create_task(write(engine))
    for user in done:
        whole = [event["seq"] for event in await seen(store, user)]
        for one in followers[user]:
            assert one.seqs == whole


@clause
async def r2_hidden_is_counted(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created())
    await engine.whole("r1")
    batch = await store.read(ADA, START)
    assert (batch.to, batch.hidden, len(batch.events)) == (7, 2, 5)


@clause
async def r2_what_was_pruned_or_erased_is_counted(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"), created("u"))
    await engine.whole("r1")
    await engine.whole("r2", "u")
    await engine.write(("u", None, events.ThreadDeleted()), erase_threads=[ThreadId("u")])
    await store.prune(LATER)
    for again in (False, True):
        if again:
            store = await site.open()
        shown = [(e["seq"], e["type"]) for e in await seen(store)]
        assert shown == [
            (1, "thread_created"), (3, "message_received"), (6, "agent_started"),
            (8, "agent_completed"), (15, "thread_deleted"),
        ]  # fmt: skip
        whole = await store.read(ADA, START)
        assert (whole.to, whole.hidden, len(whole.events)) == (15, 10, 5)
        middle = await store.read(ADA, Position(Mark("m1"), Seq(8)), 4)
        assert (middle.to, middle.hidden, middle.events) == (12, 4, [])


@clause
async def r3_an_append_that_returned_is_read_and_one_that_was_refused_is_not(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created())
    assert len(await seen(store)) == 1
    await raises(StoreRefusedError, store.append(engine.append(created("u"), epoch=9)))
    assert len(await seen(store)) == 1


@clause
async def r3_a_read_after_an_append_sees_it(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    position = START
    async with asyncio.timeout(STOP):
        for number in range(10):
            append = engine.append(created(f"t{number}"))
            writing = asyncio.ensure_future(store.append(append))
            early = await store.read(ADA, position)
            # It was on its way: the reader had all of it or none, and after it returned, all.
            assert early.to in (engine.head, engine.head + 1)
            await writing
            engine.head += 1
            batch = await store.read(ADA, position)
            assert batch.to == engine.head and len(batch.events) == 1
            assert (await store.head(ADA)).cursor == engine.head
            assert len(await store.threads(ADA, 99, None)) == number + 1
            position = Position(batch.mark, batch.to)


@clause
async def r4_positions_are_checked(site: Site) -> None:
    store = await site.open()
    first = await Engine.begin(store, mark="m1")
    await first.write(created("t1"), created("t2"))
    second = await Engine.begin(store, mark="m2")
    await second.write(created("t3"))
    for mark, cursor in (("m1", 1), ("m1", 2), ("m2", 3), ("0", 0)):
        await store.read(ADA, Position(Mark(mark), Seq(cursor)))
    for mark, cursor in (("m1", 3), ("m2", 4), ("zz", 1), ("0", 1)):
        await raises(PositionError, store.read(ADA, Position(Mark(mark), Seq(cursor))))
    store = await site.open()
    await store.read(ADA, Position(Mark("m1"), Seq(2)))
    await raises(PositionError, store.read(ADA, Position(Mark("m1"), Seq(3))))
    await store.read(BOB, START)
    await raises(PositionError, store.read(BOB, Position(Mark("m1"), Seq(1))))


@clause
async def r4_a_mark_without_entries_is_known(site: Site) -> None:
    store = await site.open()
    await (await Engine.begin(store, mark="m1")).write(created("t1"))
    await Engine.begin(store, mark="m2")
    await (await Engine.begin(store, mark="m3")).write(created("t2"))
    for again in (False, True):
        if again:
            store = await site.open()
        assert (await store.read(ADA, Position(Mark("m2"), Seq(1)))).to == 2
        await raises(PositionError, store.read(ADA, Position(Mark("m2"), Seq(2))))
        await raises(PositionError, store.read(ADA, Position(Mark("m3"), Seq(3))))
        await raises(PositionError, store.read(ADA, Position(Mark("m1"), Seq(-1))))
        await raises(PositionError, store.read(BOB, Position(Mark("m3"), Seq(0))))


@clause
async def r5_the_mark_of_the_last_entry(site: Site) -> None:
    store = await site.open()
    await (await Engine.begin(store, mark="m1")).write(created("t1"), created("t2"))
    await (await Engine.begin(store, mark="m2")).write(created("t3"))
    assert (await store.read(ADA, START, 2)).mark == "m1"
    assert (await store.read(ADA, START, 3)).mark == "m2"
    empty = await store.read(ADA, Position(Mark("m2"), Seq(3)))
    assert (empty.mark, empty.to, empty.events) == ("m2", 3, [])
    assert await store.head(ADA) == Position(Mark("m2"), Seq(3))


@clause
async def r5_the_mark_follows_the_reader_through_the_log(site: Site) -> None:
    store = await site.open()
    for number in range(1, 6):
        engine = await Engine.begin(store, mark=f"m{number}")
        await engine.write(created(f"t{number}"))
    for again in (False, True):
        if again:
            store = await site.open()
        position = START
        for number in range(1, 6):
            batch = await store.read(ADA, position, 1)
            assert (batch.mark, batch.to) == (f"m{number}", number)
            position = Position(batch.mark, batch.to)
        # At an older activation's end there may be nothing new for a moment: the mark stays.
        await Engine.begin(store, mark="m9")
        assert (await store.read(ADA, position)).mark == "m5"


@clause
async def r6_a_wake_up_is_not_lost(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    watch = store.watch(ADA)
    await engine.write(created())
    async with asyncio.timeout(5):
        await watch.wait()
    waiting = asyncio.ensure_future(watch.wait())
    await asyncio.sleep(0)
    await submit(store, "a")
    async with asyncio.timeout(5):
        await waiting
    watch.close()


@clause
async def r6_no_wake_up_falls_between_reading_and_waiting(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    watch, other = store.watch(ADA), store.watch(ADA)
    position = START
    async with asyncio.timeout(5):
        for number in range(20):
            batch = await store.read(ADA, position)
            assert batch.to == batch.from_
            # The append ends before anyone waits.
            await engine.write(created(f"t{number}"))
            await watch.wait()
            batch = await store.read(ADA, position)
            assert batch.to == engine.head
            position = Position(batch.mark, batch.to)
        # Each watch is woken for itself.
        await other.wait()
        # Who gave up waiting and comes back has lost nothing.
        waiting = asyncio.ensure_future(watch.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await engine.write(created("last"))
        await watch.wait()
    watch.close()
    watch.close()
    other.close()


@clause
async def r6_every_submit_wakes(site: Site) -> None:
    store = await site.open()
    watch = store.watch(ADA)
    async with asyncio.timeout(5):
        for number in range(5):
            await submit(store, f"a{number}")
            await watch.wait()
            waiting = asyncio.ensure_future(watch.wait())
            await asyncio.sleep(0)
            await submit(store, f"b{number}")
            await waiting
    watch.close()


@clause
async def r7_a_reader_that_reads_nothing_holds_nobody_up(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    watches = [store.watch(ADA) for _ in range(20)]
    async with asyncio.timeout(20):
        for number in range(30):
            await engine.write(created(f"t{number}"))
    for watch in watches:
        watch.close()


@clause
async def r7_reads_and_appends_go_through_each_other(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    for number in range(5):
        await engine.whole(f"r{number}")

    async def look() -> None:
        assert len(await store.threads(ADA, 9, None)) == 1
        assert await store.run(ADA, RunId("r1")) is not None
        history = await store.history(ADA, ThreadId("t"), 3, None)
        assert history is not None and len(history.runs) == 3
        assert len(await read_all(store)) > 5

    async with asyncio.timeout(STOP), asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(look())
        for number in range(10):
            await engine.whole(f"new{number}")
    assert (await store.head(ADA)).cursor == engine.head == 91


@clause
async def r8_a_batch_honours_its_bounds(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    for number in range(10):
        await engine.write(created(f"t{number}", "x" * 500))
    assert (await store.read(ADA, START, 4)).to == 4
    assert 1 <= (await store.read(ADA, START, 100, 1200)).to <= 4
    assert (await store.read(ADA, START, 100, 1)).to == 1


@clause
async def r9_without_more_the_head_was_reached(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    for number in range(5):
        await engine.write(created(f"t{number}"))
    for again in (False, True):
        if again:
            store = await site.open()
        for position, limit, size in (
            (START, 2, 1 << 20),
            (START, 9, 1),
            (Position(Mark("m1"), Seq(3)), 1, 1 << 20),
        ):
            batch = await store.read(ADA, position, limit, size)
            assert batch.to < 5 and batch.more
        for position, limit in ((START, 5), (START, 9), (Position(Mark("m1"), Seq(5)), 9)):
            assert (await store.read(ADA, position, limit)).to == 5


@clause
async def r9_who_waits_without_more_misses_nothing(site: Site) -> None:
    """A reader that does not look again, as it was told that nothing is there."""
    store = await site.open()
    engine = await Engine.begin(store)
    reached = 0

    async def follow() -> None:
        nonlocal reached
        position, watch = START, store.watch(ADA)
        while reached < 60:
            batch = await store.read(ADA, position, 3)
            position, reached = Position(batch.mark, batch.to), batch.to
            if reached < 60 and not (batch.more and batch.to > batch.from_):
                await watch.wait()
        watch.close()

    async with asyncio.timeout(STOP), asyncio.TaskGroup() as group:
        group.create_task(follow())
        for number in range(60):
            await engine.write(created(f"t{number}"))
            if number % 7 == 0:
                await asyncio.sleep(0)
    assert reached == 60
