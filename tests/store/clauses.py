"""The conformance suite: one check for each clause of goldenpath.store.interface, on any store.

A check takes a `Site`, which opens the store under test and opens it again after its process died.
`test_conformance.py` runs them on every store, `test_suite_bites.py` on broken ones.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from goldenpath.errors import (
    LeaseHeldError,
    PositionError,
    RefusedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from goldenpath.model import events, journal
from goldenpath.model.commands import Receipt, Send, body_hash, encode_command
from goldenpath.model.entries import Body, EncodedEntry, Entry, decode, encode
from goldenpath.model.events import RunError
from goldenpath.model.ids import (
    ORIGIN_MARK,
    AppendId,
    ApprovalId,
    CommandId,
    DeviceId,
    HostId,
    Mark,
    MessageId,
    PartId,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.model.projections import PROJECTING, Rows, apply
from goldenpath.store.interface import Activation, Append, Batch, Position, Refusal, Store

ADA, BOB = UserId("ada"), UserId("bob")
HOST, OTHER = HostId("host"), HostId("other")
START = Position(ORIGIN_MARK, Seq(0))
PHONE = DeviceId("phone")
NOW = 1_700_000_000_000
HOUR = 3_600_000
BUSY = RunError(code="busy", message="busy", retryable=True)
SECRET = "marzipan"


class Site(Protocol):
    """Where a store under test lives."""

    async def open(self) -> Store:
        """Open it, as a process that starts: the one before it is dead."""
        ...

    async def restored(self, copy: Path) -> Store:
        """Open what `backup` copied."""
        ...

    def path(self) -> Path:
        """Where a backup may be written."""
        ...

    async def fill_disk(self, store: Store, full: bool) -> None:
        """Let the store's writes fail, or work again."""
        ...

    def traces(self, text: str) -> bool:
        """True if the store's files still hold the text."""
        ...


Check = Callable[[Site], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def clause(check: Check) -> Check:
    """Register a check; its name begins with its clause."""
    CHECKS[check.__name__] = check
    return check


class Engine:
    """What an engine does to a store, without an engine."""

    def __init__(self, store: Store, user: UserId, activation: Activation) -> None:
        self.store, self.user, self.activation = store, user, activation
        self.head = int(activation.head)
        self.count = 0

    @classmethod
    async def begin(cls, store: Store, user: UserId = ADA, mark: str = "m1") -> Engine:
        return cls(store, user, await store.acquire(user, HOST, Mark(mark)))

    def append(self, *bodies: tuple[str | None, str | None, Body], **options: Any) -> Append:
        entries = [
            encode(
                Entry(
                    Seq(self.head + n), NOW + self.head + n,
                    None if thread is None else ThreadId(thread),
                    None if run is None else RunId(run), body,
                )
            )
            for n, (thread, run, body) in enumerate(bodies, 1)
        ]  # fmt: skip
        self.count += 1
        fields: dict[str, Any] = {
            "user": self.user,
            "epoch": self.activation.epoch,
            "mark": self.activation.mark,
            "head": Seq(self.head),
            "append_id": AppendId(f"{self.activation.mark}.{self.count}"),
            "entries": entries,
            "now_ms": NOW,
            **options,
        }
        return Append(**fields)

    async def write(self, *bodies: tuple[str | None, str | None, Body], **options: Any) -> Append:
        append = self.append(*bodies, **options)
        await self.store.append(append)
        self.head += len(append.entries)
        return append

    async def ask(self, run: str, thread: str = "t", text: str = "hello", **options: Any) -> None:
        """Open and start a run."""
        await self.write(*opening(run, thread, text), **options)

    async def end(self, run: str, thread: str = "t", output: str = "answer") -> None:
        await self.write(
            (thread, run, events.AgentOutput(part_id=PartId("p"), offset=0, text=output)),
            (thread, run, completed(output)),
        )

    async def whole(self, run: str, thread: str = "t", text: str = "hello") -> None:
        await self.ask(run, thread, text)
        await self.end(run, thread)


def created(thread: str = "t", title: str = "title") -> tuple[str, None, Body]:
    return (thread, None, events.ThreadCreated(title=title))


def opening(run: str, thread: str, text: str) -> list[tuple[str, str, Body]]:
    return [
        (thread, run, events.MessageReceived(
            message_id=MessageId(f"m-{run}"), text=text, command_id=CommandId(f"c-{run}"))),
        (thread, run, journal.RunOpened(agent="worker", budget_ms=1000)),
        (thread, run, settled(f"c-{run}", run=run, thread=thread)),
        (thread, run, events.AgentStarted(
            agent="worker", version="1", message_id=None, deadline_ms=1000)),
    ]  # fmt: skip


def settled(command: str, run: str | None = None, thread: str | None = None) -> Body:
    return journal.CommandSettled(
        command_id=CommandId(command),
        body_hash=body_hash(BODY),
        kind="send",
        run_id=None if run is None else RunId(run),
        thread_id=None if thread is None else ThreadId(thread),
        seq=1,
    )


def completed(output: str = "answer") -> Body:
    return events.AgentCompleted(
        status="succeeded", output=output, partial=False, error=None, usage={}, duration_ms=1
    )


BODY = encode_command(Send(text="hello"))
ELSE = encode_command(Send(text="something else"))


async def raises(error: type[Exception], work: Awaitable[Any]) -> Exception:
    try:
        await work
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} was not raised")


async def read_all(store: Store, user: UserId = ADA, position: Position = START) -> list[Batch]:
    batches: list[Batch] = []
    while True:
        batch = await store.read(user, position, 3)
        assert batch.from_ == position.cursor
        assert batch.to - batch.from_ == len(batch.events) + batch.hidden
        if batch.to == batch.from_:
            return batches
        batches.append(batch)
        position = Position(batch.mark, batch.to)


async def seen(store: Store, user: UserId = ADA) -> list[dict[str, Any]]:
    return [json.loads(e) for batch in await read_all(store, user) for e in batch.events]


async def submit(store: Store, command: str, body: bytes = BODY, user: UserId = ADA) -> Any:
    return await store.submit(user, CommandId(command), body, NOW)


# -- inbox ---------------------------------------------------------------------------------------


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
async def s2_an_id_is_one_body(site: Site) -> None:
    store = await site.open()
    await submit(store, "a")
    assert (await raises(RefusedError, submit(store, "a", ELSE))).code == "id_reused"  # type: ignore[attr-defined]
    engine = await Engine.begin(store)
    await engine.write((None, None, settled("a")))
    assert (await raises(RefusedError, submit(store, "a", ELSE))).code == "id_reused"  # type: ignore[attr-defined]


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


# -- appending -----------------------------------------------------------------------------------


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
async def a6_an_append_without_entries(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(due_ms=NOW)
    assert (await store.head(ADA)).cursor == 0
    assert await store.demand(NOW) == [ADA]


# -- reading -------------------------------------------------------------------------------------


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
async def r2_hidden_is_counted(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created())
    await engine.whole("r1")
    batch = await store.read(ADA, START)
    assert (batch.to, batch.hidden, len(batch.events)) == (7, 2, 5)


@clause
async def r3_an_append_that_returned_is_read_and_one_that_was_refused_is_not(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created())
    assert len(await seen(store)) == 1
    await raises(StoreRefusedError, store.append(engine.append(created("u"), epoch=9)))
    assert len(await seen(store)) == 1


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
async def r8_a_batch_honours_its_bounds(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    for number in range(10):
        await engine.write(created(f"t{number}", "x" * 500))
    assert (await store.read(ADA, START, 4)).to == 4
    assert 1 <= (await store.read(ADA, START, 100, 1200)).to <= 4
    assert (await store.read(ADA, START, 100, 1)).to == 1


# -- leases and demand ---------------------------------------------------------------------------


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
async def l3_a_held_lease_is_another_hosts(site: Site) -> None:
    store = await site.open()
    await store.acquire(ADA, HOST, Mark("m1"))
    await raises(LeaseHeldError, store.acquire(ADA, OTHER, Mark("m2")))
    await store.acquire(BOB, OTHER, Mark("m3"))
    await store.acquire(ADA, HOST, Mark("m4"))


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
async def d2_due_is_what_the_last_append_said(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created(), due_ms=NOW + 5)
    assert await store.next_due() == NOW + 5
    await engine.write(due_ms=NOW + 9)
    assert await store.next_due() == NOW + 9 and await store.demand(NOW + 8) == []
    await engine.write(due_ms=None)
    assert await store.next_due() is None and await store.demand(NOW + 99) == []


# -- projections ---------------------------------------------------------------------------------


@clause
async def p1_projections_are_the_fold_of_the_log(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    await engine.ask("r2", text="open one")
    await engine.write(
        ("t", "r2", events.ApprovalRequested(
            approval_id=ApprovalId("ap"), call_id=None, tool=None, arguments={},
            expires="2026-01-01T00:00:00.000Z")),
        ("t", "r2", events.AgentOutput(part_id=PartId("p"), offset=0, text="so far")),
    )  # fmt: skip
    for again in (False, True):
        if again:
            store = await site.open()
        rows = Rows()
        version, entries = await store.entries(ADA, Seq(0))
        for encoded in entries:
            if encoded.type in PROJECTING:
                apply(rows, decode(encoded, version))
        assert await store.thread(ADA, ThreadId("t")) == rows.threads[ThreadId("t")]
        for run_id, row in rows.runs.items():
            assert await store.run(ADA, run_id) == row
        assert await store.approval(ADA, ApprovalId("ap")) == rows.approvals[ApprovalId("ap")]
        history = await store.history(ADA, ThreadId("t"), 10, None)
        assert history is not None and history.as_of.cursor == len(entries)
        assert [r.run_id for r in history.runs] == ["r2", "r1"]
        assert [p.text for p in history.open_runs[0].parts] == ["so far"]
        activation = await store.acquire(ADA, HOST, Mark(f"again{again}"))
        assert [r.run_id for r in activation.open_runs] == ["r2"]
        assert [a.approval_id for a in activation.open_approvals] == ["ap"]


@clause
async def p2_a_foreign_id_is_an_unknown_one(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1", text=SECRET)
    assert await store.thread(BOB, ThreadId("t")) is None
    assert await store.run(BOB, RunId("r1")) is None
    assert await store.history(BOB, ThreadId("t"), 10, None) is None
    assert await store.outcome(BOB, CommandId("c-r1")) is None
    assert await store.threads(BOB, 10, None) == []
    assert await store.search(BOB, [SECRET], 10) == []
    assert len(await store.search(ADA, [SECRET[:4]], 10)) == 1
    assert await seen(store, BOB) == []
    assert [u for u, _ in await store.runs(None, None, 10)] == [ADA]


@clause
async def p3_pages_lose_and_repeat_nothing(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    for number in range(7):
        await engine.write(created(f"t{number}"))
    first = await store.threads(ADA, 3, None)
    await engine.write(created("t9"))
    found = [r.thread_id for r in first]
    last = first[-1]
    while page := await store.threads(ADA, 3, (last.created_ms, last.thread_id)):
        found += [r.thread_id for r in page]
        last = page[-1]
    assert found == [f"t{n}" for n in reversed(range(7))]


# -- receipts of delivery ------------------------------------------------------------------------


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


# -- erasing -------------------------------------------------------------------------------------


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
    await store.erase_user(ADA, engine.activation.epoch, Mark("m2"))
    await store.compact()
    assert not site.traces(SECRET) and await seen(store) == []
    assert (await store.head(ADA)).cursor == engine.head


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


# -- keeping -------------------------------------------------------------------------------------


@clause
async def b1_a_backup_is_one_moment(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    copy = site.path()

    async def go_on() -> None:
        for number in range(20):
            await engine.write(created(f"t{number}"))

    async with asyncio.TaskGroup() as group:
        group.create_task(go_on())
        group.create_task(store.backup(copy))
    restored = await site.restored(copy)
    entries = (await restored.entries(ADA, Seq(0)))[1]
    assert [e.seq for e in entries] == list(range(1, len(entries) + 1)) and len(entries) >= 7
    assert (await restored.run(ADA, RunId("r1"))) == await store.run(ADA, RunId("r1"))
    beyond = Position(Mark("m1"), Seq(len(entries) + 1))
    await raises(PositionError, restored.read(ADA, beyond))


@clause
async def b2_a_store_that_cannot_write_says_so_and_comes_back(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await site.fill_disk(store, True)
    append = engine.append(created("u", "x" * 200_000))
    await raises(StoreUnavailableError, store.append(append))
    await raises(StoreUnavailableError, submit(store, "a", b"x" * 200_000))
    assert not store.status().writable and store.status().reason
    assert len(await seen(store)) == 1
    await site.fill_disk(store, False)
    async with asyncio.timeout(20):
        while True:
            try:
                await store.append(append)
                break
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
    assert store.status().writable
    store = await site.open()
    assert len(await seen(store)) == 2
