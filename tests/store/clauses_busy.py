"""More checks of the conformance suite: many users, readers and writers at once.

Registers in `clauses.CHECKS`. The timeouts end what would wait for ever; they measure nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from goldenpath.errors import RefusedError, StoreRefusedError
from goldenpath.model import events
from goldenpath.model.ids import CommandId, Mark, RunId, Seq, ThreadId, UserId
from goldenpath.store.interface import Position, Store
from tests.store.clauses import (
    ADA,
    BODY,
    ELSE,
    HOST,
    NOW,
    START,
    Engine,
    Site,
    clause,
    created,
    read_all,
    seen,
    settled,
    submit,
)

LATER = NOW + 10**6
USERS = [UserId(f"user{number}") for number in range(6)]
STOP = 30
"""Seconds after which a check that hangs is ended."""


class Follower:
    """A client that reads to the head, waits to be woken, and checks every batch."""

    def __init__(self, store: Store, user: UserId, limit: int) -> None:
        self.seqs: list[int] = []
        self.hidden = 0
        self.batches: list[list[tuple[int, str]]] = []
        self._store, self._user, self._limit = store, user, limit

    async def follow(self, until: Callable[[], int | None]) -> None:
        """Until the cursor is where `until` says, which is None as long as it is not known."""
        position, watch = START, self._store.watch(self._user)
        try:
            while position.cursor != until():
                batch = await self._store.read(self._user, position, self._limit)
                shown = [json.loads(one) for one in batch.events]
                seqs = [one["seq"] for one in shown]
                assert batch.from_ == position.cursor, "a batch begins where the last one ended"
                assert batch.to - batch.from_ == len(seqs) + batch.hidden
                assert seqs == sorted(set(seqs))
                assert all(batch.from_ < seq <= batch.to for seq in seqs)
                self.seqs += seqs
                self.hidden += batch.hidden
                self.batches.append([(one["seq"], one["type"]) for one in shown])
                position = Position(batch.mark, batch.to)
                if batch.to == batch.from_:
                    await watch.wait()
        finally:
            watch.close()


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
async def e3_readers_follow_while_it_is_appended_pruned_and_erased(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"), created("gone"))
    for number in range(8):
        await engine.whole(f"r{number}", "gone" if number % 2 else "t")
    done = False
    followers = [Follower(store, ADA, limit) for limit in (1, 2, 5, 100)]

    async def write() -> None:
        nonlocal done
        for number in range(5):
            await engine.whole(f"new{number}")
        await engine.write(("gone", None, events.ThreadDeleted()), erase_threads=[ThreadId("gone")])
        for number in range(5):
            await engine.whole(f"newer{number}")
        done = True
        await submit(store, "wake")

    async def prune() -> None:
        while not done:
            await store.prune(LATER, limit=1)
            await store.prune(NOW + 20, everything=True, limit=1)
            await store.compact()
            await asyncio.sleep(0)

    async with asyncio.timeout(STOP), asyncio.TaskGroup() as group:
        for one in followers:
            group.create_task(one.follow(lambda: engine.head if done else None))
        group.create_task(prune())
        group.create_task(write())
    for one in followers:
        assert len(one.seqs) + one.hidden == engine.head
        assert one.seqs == sorted(set(one.seqs))
    whole = await seen(store)
    assert all(event["thread_id"] != "gone" or event["type"] == "thread_deleted" for event in whole)


@clause
async def e3_a_batch_has_all_of_an_erased_thread_or_nothing(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    for number in range(20):
        await engine.whole(f"r{number}")
    end = engine.head
    whole = len((await store.read(ADA, START, end)).events)
    counts: set[int] = set()

    async def look() -> None:
        while True:
            batch = await store.read(ADA, START, end, 1 << 30)
            assert batch.to == end
            counts.add(len(batch.events))
            if not batch.events:
                return
            await asyncio.sleep(0)

    async with asyncio.timeout(STOP), asyncio.TaskGroup() as group:
        group.create_task(look())
        group.create_task(look())
        await store.compact()
        await engine.write(("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")])
        await store.compact()
    assert counts <= {0, whole}


@clause
async def b1_a_backup_of_many_users_while_they_write(site: Site) -> None:
    store = await site.open()
    engines = [await Engine.begin(store, user) for user in USERS]
    before: dict[UserId, int] = {}
    for engine in engines:
        await submit(store, "waits", user=engine.user)
        await engine.write(created("t"))
        await engine.whole("r")
        before[engine.user] = engine.head

    async def go_on(engine: Engine) -> None:
        for number in range(8):
            await engine.whole(f"r{number}")

    async with asyncio.timeout(STOP), asyncio.TaskGroup() as group:
        for engine in engines:
            group.create_task(go_on(engine))
        group.create_task(store.backup(site.path()))
    restored = await site.restored(site.path())
    assert await restored.users() == USERS
    for engine in engines:
        _, kept = await restored.entries(engine.user, Seq(0))
        _, known = await store.entries(engine.user, Seq(0))
        assert kept == known[: len(kept)] and len(kept) >= before[engine.user]
        open_runs = [row for _, row in await restored.runs(engine.user, None, 99) if row.open]
        assert len(open_runs) <= 1, "each append is there whole"
        pending = await restored.pending(engine.user)
        assert [c.command_id for c in pending] == [CommandId("waits")]
        activation = await restored.acquire(engine.user, HOST, Mark("other"))
        assert activation.head == len(kept)
