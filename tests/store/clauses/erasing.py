"""Erasing (E): texts go, numbers stay, readers notice nothing."""

from __future__ import annotations

import asyncio
import json

from goldenpath.model import events, journal
from goldenpath.model.commands import Send, body_hash, encode_command
from goldenpath.model.ids import ApprovalId, CommandId, DeviceId, Mark, PartId, RunId, Seq, ThreadId
from goldenpath.store.interface import Position, Refusal
from goldenpath.store.verify import verify
from tests.store.harness import (
    ADA,
    BOB,
    BUSY,
    ELSE,
    LATER,
    NOW,
    SECRET,
    START,
    STOP,
    Engine,
    Follower,
    Site,
    child,
    clause,
    completed,
    created,
    failed,
    read_all,
    seen,
    settled,
    submit,
    work,
)


@clause
async def e1_erased_text_is_nowhere_and_seqs_stay(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t", SECRET), created("kept", "kept title"))
    await engine.whole("r1", text=SECRET)
    await engine.write(("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")])
    for again in (False, True):
        if again:
            store = await site.open()
        assert SECRET not in str(await seen(store))
        batches = await read_all(store)
        assert batches[-1].to == engine.head
        assert await store.search(ADA, [SECRET], 9) == []
        assert await store.run(ADA, RunId("r1")) is None
        assert await store.thread(ADA, ThreadId("kept")) is not None
        assert any(e["type"] == "thread_deleted" for e in await seen(store))
    await store.compact()
    assert not site.traces(SECRET)
    engine = await Engine.begin(store, mark="m2")
    await engine.write(created("u", SECRET))
    await engine.write(erase_user=True)
    await store.compact()
    assert not site.traces(SECRET) and await seen(store) == []
    assert (await store.head(ADA)).cursor == engine.head


@clause
async def e1_no_kind_of_text_is_left_of_a_thread(site: Site) -> None:
    store = await site.open()
    body = encode_command(Send(text=SECRET))
    await submit(store, "c-r1", body)
    engine = await Engine.begin(store)
    await engine.write(created("t", SECRET), created("kept"))
    opening = [
        ("t", "r1", events.MessageReceived(
            message_id="m", text=SECRET, command_id=CommandId("c-r1"))),
        ("t", "r1", journal.RunOpened(agent="worker", budget_ms=1000)),
        ("t", "r1", journal.CommandSettled(
            command_id=CommandId("c-r1"), body_hash=body_hash(body), kind="send",
            thread_id=ThreadId("t"), run_id=RunId("r1"), seq=1)),
    ]  # fmt: skip
    await engine.write(*opening, *work("r1", SECRET))
    await engine.write(*child("r2", "r1", SECRET), ("t", "r2", failed(SECRET)))
    await engine.write(("t", "r1", failed(SECRET)))
    await engine.whole("r3", "kept", "stays")
    await store.compact()  # wherever a store keeps what it has had for long
    assert site.traces("stays")
    await engine.write(("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")])
    for again in (False, True):
        if again:
            store = await site.open()
        assert SECRET not in str([await seen(store), await store.entries(ADA, Seq(0))])
        assert await store.search(ADA, [SECRET], 9) == []
        assert await store.approval(ADA, ApprovalId("ap-r1")) is None
        assert await store.history(ADA, ThreadId("t"), 9, None) is None
        assert [row.run_id for _, row in await store.runs(ADA, None, 9)] == ["r3"]
        assert len(await store.search(ADA, ["stays"], 9)) == 1
        # The command is done, whatever it was: its receipt stays without its hash.
        again_ = await submit(store, "c-r1", ELSE)
        assert again_.state == "settled" and again_.receipt.body_hash is None
    await store.compact()
    assert not site.traces(SECRET) and not site.traces(body_hash(body))
    assert site.traces("stays")


@clause
async def e1_a_user_is_erased_alone(site: Site) -> None:
    store = await site.open()
    ada, bob = await Engine.begin(store, ADA), await Engine.begin(store, BOB)
    for engine in (ada, bob):
        await engine.write(created("t"))
        await engine.whole("r1", text=f"{SECRET} {engine.user}")
    await submit(store, "open", encode_command(Send(text="said later")))
    forgotten = journal.CommandSettled(command_id=CommandId("f"), body_hash="ab", kind="forget")
    position = Position(ada.activation.mark, Seq(ada.head))
    await store.acknowledge(ADA, DeviceId(f"{SECRET}-device"), position)
    await store.compact()  # wherever a store keeps what it has had for long
    await ada.write((None, None, forgotten), erase_user=True)
    for again in (False, True):
        if again:
            store = await site.open()
        assert await seen(store) == [] and (await store.read(ADA, START)).hidden == ada.head
        assert await store.threads(ADA, 9, None) == [] and await store.runs(ADA, None, 9) == []
        assert [p.command_id for p in await store.pending(ADA)] == ["open"]
        assert (await store.outcome(ADA, CommandId("f"))) is not None
        assert await store.demand(NOW) == [ADA]
        assert (await store.head(ADA)).cursor == ada.head
        assert len(await seen(store, BOB)) == 5
        assert len(await store.search(BOB, [SECRET], 9)) == 1
        assert [u.user for u in await store.undelivered()] == [BOB]
    await store.compact()
    assert not site.traces(f"{SECRET} ada") and site.traces(f"{SECRET} bob")
    assert not site.traces(f"{SECRET}-device")
    # The log goes on where it was.
    after = await Engine.begin(store, mark="m2")
    assert after.activation.head == ada.head and after.activation.open_runs == []
    await after.write(created("new"))
    assert [e["seq"] for e in await seen(store)] == [ada.head + 1]


@clause
async def e1_refusals_of_an_erased_user_go(site: Site) -> None:
    store = await site.open()
    bodies = {user: encode_command(Send(text=f"{SECRET} {user}")) for user in (ADA, BOB)}
    for user, body in bodies.items():
        await submit(store, "no", body, user)
        await submit(store, "open", body, user)
        engine = await Engine.begin(store, user)
        await engine.write(refused=[Refusal(CommandId("no"), BUSY)])
    await store.compact()  # wherever a store keeps what it has had for long
    ada = await Engine.begin(store, ADA, "m2")
    await submit(store, "late", ELSE)
    await ada.write(refused=[Refusal(CommandId("late"), BUSY)])
    await ada.write(erase_user=True)
    for again in (False, True):
        if again:
            store = await site.open()
        assert await store.outcome(ADA, CommandId("no")) is None
        assert await store.outcome(ADA, CommandId("late")) is None
        assert [p.command_id for p in await store.pending(ADA)] == ["open"]
        assert isinstance(await store.outcome(BOB, CommandId("no")), Refusal)
    assert (await submit(store, "no", ELSE)).state == "new", "whose id it was is forgotten"
    engine = await Engine.begin(store, ADA, "m3")
    await engine.write((None, None, settled("open")), (None, None, settled("no")))
    await store.compact()
    assert not site.traces(body_hash(bodies[ADA])) and site.traces(body_hash(bodies[BOB]))


@clause
async def e2_pruning_keeps_what_counts(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    await engine.ask("r2")
    await engine.write(
        ("t", "r2", events.AgentOutput(part_id=PartId("p"), offset=0, text="open run's"))
    )
    head = engine.head
    assert await store.prune(NOW + 10**6) == 1
    types = [e["type"] for e in await seen(store)]
    assert types.count("agent_output") == 1 and types.count("agent_completed") == 1
    assert types.count("message_received") == 2
    assert (await store.head(ADA)).cursor == head
    await store.read(ADA, Position(Mark("m1"), Seq(head)))
    row = await store.run(ADA, RunId("r1"))
    assert row is not None and row.output == "answer"
    await store.prune(NOW + 10**6, everything=True)
    assert await store.run(ADA, RunId("r1")) is None
    assert "answer" not in str(await seen(store))


@clause
async def e2_pruning_takes_children_with_their_root(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.ask("r1")
    await engine.write(*child("r2", "r1"))
    await engine.write(*work("r2", SECRET), ("t", "r2", completed()))
    await engine.write(*work("r1", SECRET))
    assert await store.prune(LATER) == 0
    assert [e["type"] for e in await seen(store)].count("agent_output") == 2
    await engine.write(("t", "r1", completed()))
    ended = NOW + engine.head
    assert await store.prune(ended) == 0
    assert await store.prune(ended + 1) == 1
    for again in (False, True):
        if again:
            store = await site.open()
        _, entries = await store.entries(ADA, Seq(0))
        assert [e.seq for e in entries] == list(range(1, engine.head + 1))
        left = {json.loads(e.json)["type"] for e in entries if e.json}
        assert left == {
            "thread_created", "message_received", "run_opened", "command_settled",
            "agent_started", "tool_executing", "tool_completed", "approval_requested",
            "approval_resolved", "agent_completed",
        }  # fmt: skip
        assert len([e for e in await seen(store) if e["type"] == "agent_completed"]) == 2
        assert (await store.read(ADA, Position(Mark("m1"), Seq(5)))).to == engine.head
        assert await store.prune(ended + 1) == 0


@clause
async def e2_pruning_is_bounded_and_goes_on(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    for number in range(5):
        await engine.whole(f"r{number}")
    counts = [await store.prune(LATER, limit=2) for _ in range(4)]
    assert counts == [2, 2, 1, 0]
    for number in range(4):  # older than those that are empty: they must not be in their way
        await engine.write(created(f"used{number}"))
        await engine.ask(f"open{number}", f"used{number}")
    for user in (ADA, BOB):
        other = engine if user == ADA else await Engine.begin(store, user)
        await other.write(created("empty1"), created("empty2"))
    everything = [await store.prune(LATER, everything=True, limit=3) for _ in range(5)]
    assert everything == [3, 3, 3, 1, 0]
    assert await store.prune(LATER + 1, everything=True, limit=3) == 0
    assert len(await store.runs(ADA, None, 9)) == 4 == len(await store.threads(ADA, 9, None))
    assert await store.threads(BOB, 9, None) == []


@clause
async def e2_a_thread_without_runs_goes_by_age(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    renamed = settled("c-name", thread="old")
    assert isinstance(renamed, journal.CommandSettled)
    await engine.write(created("never", SECRET), created("old", SECRET))
    await engine.whole("r1", "old", SECRET)
    title = events.ThreadUpdated(title=SECRET, archived=True)
    await engine.write(("old", None, title), ("old", None, renamed))
    await engine.write(created("open"), created("late"))
    await engine.ask("r2", "open")
    await engine.ask("r3", "late")
    before = NOW + engine.head
    await engine.end("r3", "late")
    await engine.write(created("young", "young title"), due_ms=0)
    await store.compact()  # wherever a store keeps what it has had for long
    await store.prune(LATER)
    assert len(await store.threads(ADA, 9, None)) == 5, "pruning leaves them"
    assert await store.prune(before, everything=True) == 3
    for again in (False, True):
        if again:
            store = await site.open()
        left = [row.thread_id for row in await store.threads(ADA, 9, None)]
        assert sorted(left) == ["late", "open", "young"]
        assert await store.thread(ADA, ThreadId("old")) is None
        assert await store.history(ADA, ThreadId("never"), 9, None) is None
        _, entries = await store.entries(ADA, Seq(0))
        assert [entry.seq for entry in entries] == list(range(1, engine.head + 1))
        assert SECRET not in str([await seen(store), entries])
        assert {e["type"] for e in await seen(store)}.isdisjoint({"thread_deleted"})
        renaming = await submit(store, "c-name", ELSE)
        assert renaming.state == "settled" and renaming.receipt.body_hash is None
        assert (await store.head(ADA)).cursor == engine.head
        assert await verify(store) == []
        assert await store.prune(before, everything=True) == 0
    await store.compact()
    assert not site.traces(SECRET) and site.traces("young title")
    # The rest goes when it is time.
    engine = await Engine.begin(store, mark="m2")
    await engine.end("r2", "open")
    assert await store.prune(LATER, everything=True) == 5
    assert await store.threads(ADA, 9, None) == [] and await verify(store) == []


@clause
async def e2_a_thread_that_went_by_age_does_not_come_back(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t", SECRET))
    await engine.whole("r1")
    assert await store.prune(LATER, everything=True) == 2
    # Whoever writes the log may not have heard of it.
    await engine.ask("r2")
    for again in (False, True):
        if again:
            store = await site.open()
            engine = await Engine.begin(store, mark="m2")
        new = events.ThreadUpdated(title="new", archived=False)
        await engine.write(("t", None, new), due_ms=0)
        await store.compact()
        assert await store.thread(ADA, ThreadId("t")) is None
        assert await store.threads(ADA, 9, None) == [] and await verify(store) == []
        assert not site.traces(SECRET)
    await engine.end("r2")
    await engine.write(created("u"))
    assert await store.prune(LATER, everything=True) == 2
    assert await store.threads(ADA, 9, None) == [] and await verify(store) == []


@clause
async def e3_readers_see_no_gap_while_it_is_erased(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    for number in range(10):
        await engine.whole(f"r{number}")
    cursors: list[int] = []

    async def follow() -> None:
        position = START
        while position.cursor < engine.head:
            batch = await store.read(ADA, position, 2)
            assert batch.from_ == position.cursor
            assert batch.to - batch.from_ == len(batch.events) + batch.hidden
            seqs = [json.loads(e)["seq"] for e in batch.events]
            assert all(position.cursor < s <= batch.to for s in seqs) and seqs == sorted(set(seqs))
            cursors.append(batch.to)
            position = Position(batch.mark, batch.to)
            await asyncio.sleep(0)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(follow())
        await store.prune(NOW + 10**6)
        await store.compact()
    assert cursors.count(engine.head) == 3


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
