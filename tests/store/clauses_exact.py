"""More checks of the conformance suite: the edges of the clauses. Registers in `clauses.CHECKS`."""

from __future__ import annotations

import json

from goldenpath.errors import LeaseHeldError, PositionError, RefusedError, StoreRefusedError
from goldenpath.model import events, journal
from goldenpath.model.commands import Receipt, Send, body_hash, encode_command
from goldenpath.model.entries import Body, Entry, decode, encode, format_time
from goldenpath.model.events import RunError
from goldenpath.model.ids import (
    ApprovalId,
    CallId,
    CommandId,
    DeviceId,
    Mark,
    PartId,
    RunId,
    Seq,
    ThreadId,
)
from goldenpath.model.journal import StepKey
from goldenpath.model.projections import Rows, apply
from goldenpath.store.interface import Position, Refusal
from tests.store.clauses import (
    ADA,
    BOB,
    BUSY,
    ELSE,
    HOST,
    HOUR,
    NOW,
    OTHER,
    PHONE,
    SECRET,
    START,
    Engine,
    Site,
    clause,
    completed,
    created,
    raises,
    read_all,
    seen,
    settled,
    submit,
)

KEY = StepKey("", "step", "", 0)
LATER = NOW + 10**6
TABLET = DeviceId("tablet")


def piece(text: str, offset: int = 0) -> Body:
    return events.AgentOutput(part_id=PartId("p"), offset=offset, text=text)


def child(run: str, parent: str, text: str = "do it") -> list[tuple[str, str, Body]]:
    """Open and start a run below another one."""
    return [
        ("t", run, journal.RunOpened(
            agent="helper", budget_ms=1000, depth=1, input=text, parent_run_id=RunId(parent))),
        ("t", run, events.AgentStarted(
            agent="helper", version="1", message_id=None, parent_run_id=RunId(parent),
            deadline_ms=1000)),
    ]  # fmt: skip


def work(run: str, text: str) -> list[tuple[str, str, Body]]:
    """Everything that a run may hold of somebody's text, once."""
    call, approval = CallId(f"call-{run}"), ApprovalId(f"ap-{run}")
    return [
        ("t", run, events.AgentThinking(text=text)),
        ("t", run, events.ToolExecuting(call_id=call, tool="look", arguments={"q": text})),
        ("t", run, journal.StepStarted(
            key=StepKey(text, text, "", 0), kind="tool", call_id=call, attempt=1, remaining_ms=9)),
        ("t", run, events.ToolProgress(call_id=call, text=text)),
        ("t", run, events.ApprovalRequested(
            approval_id=approval, call_id=call, tool="look", arguments={"q": text}, prompt=text,
            expires=format_time(LATER))),
        ("t", run, events.ApprovalResolved(
            approval_id=approval, decision="approved", reason=text)),
        ("t", run, journal.StepCompleted(
            key=StepKey(text, text, "", 0), value={"v": [text]}, failed_message=text, detail=text,
            remaining_ms=8)),
        ("t", run, events.ToolCompleted(
            call_id=call, tool="look", status="ok", result=[text], duration_ms=1, attempts=1)),
        ("t", run, journal.RunFailure(detail=text)),
        ("t", run, piece(text)),
    ]  # fmt: skip


def failed(text: str) -> Body:
    return events.AgentCompleted(
        status="failed", output=text, partial=True, usage={}, duration_ms=1,
        error=RunError(code="agent_error", message=text),
    )  # fmt: skip


# -- inbox ---------------------------------------------------------------------------------------


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
async def s3_pending_gives_the_body_that_was_submitted(site: Site) -> None:
    store = await site.open()
    await submit(store, "a", ELSE)
    store = await site.open()
    (command,) = await store.pending(ADA)
    assert (command.body, command.body_hash) == (ELSE, body_hash(ELSE))


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


# -- appending -----------------------------------------------------------------------------------


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
async def a5_the_same_append_id_of_two_users_is_two_appends(site: Site) -> None:
    store = await site.open()
    for user in (ADA, BOB):
        await (await Engine.begin(store, user)).write(created())
    assert [len(await seen(store, user)) for user in (ADA, BOB)] == [1, 1]


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


# -- reading -------------------------------------------------------------------------------------


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


# -- leases and demand ---------------------------------------------------------------------------


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
async def l2_an_epoch_is_fenced_also_after_a_restart(site: Site) -> None:
    store = await site.open()
    old = await Engine.begin(store)
    store = await site.open()
    await store.acquire(ADA, OTHER, Mark("m2"))
    await raises(StoreRefusedError, store.append(old.append(created())))
    await raises(StoreRefusedError, store.append(old.append(created(), mark=Mark("m2"))))
    assert await seen(store) == []


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


# -- projections ---------------------------------------------------------------------------------


@clause
async def p1_every_row_is_the_fold_after_each_append(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)

    async def check() -> None:
        rows = Rows()
        version, entries = await store.entries(ADA, Seq(0))
        for encoded in entries:
            apply(rows, decode(encoded, version))
        assert {r.thread_id: r for r in await store.threads(ADA, 99, None)} == rows.threads
        assert {r.run_id: r for _, r in await store.runs(ADA, None, 99)} == rows.runs
        for approval_id, row in rows.approvals.items():
            assert await store.approval(ADA, approval_id) == row
        for command_id, receipt in rows.receipts.items():
            assert await store.outcome(ADA, command_id) == receipt

    await engine.write(created("t"))
    await engine.ask("r1")
    await check()
    for body in work("r1", "text"):
        await engine.write(body)
        await check()
    await engine.write(*child("r2", "r1"))
    await engine.write(("t", "r1", journal.RunParked(reason="child", remaining_ms=5)))
    await check()
    store = await site.open()
    await check()
    engine = await Engine.begin(store, mark="m2")
    await engine.write(
        ("t", "r1", events.AgentResumed(attempt=2, reason="crash")),
        ("t", "r2", journal.CancelRequested(reason="parent")),
        ("t", "r2", completed()),
    )
    await check()
    await engine.write(("t", "r1", failed("no")))
    await engine.write(("t", None, events.ThreadUpdated(title="new", archived=True)))
    await check()
    store = await site.open()
    await check()


@clause
async def p1_a_history_shows_open_runs_as_they_are(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.ask("r1")
    await engine.write(*work("r1", "text")[:5], ("t", "r1", piece("one ")))
    await engine.write(("t", "r1", piece("two", 4)), *child("r2", "r1"))
    for again in (False, True):
        if again:
            store = await site.open()
        history = await store.history(ADA, ThreadId("t"), 9, None)
        assert history is not None and history.as_of == await store.head(ADA)
        assert [row.run_id for row in history.runs] == ["r1"]
        opened = {one.run.run_id: one for one in history.open_runs}
        assert set(opened) == {"r1", "r2"}
        one = opened[RunId("r1")]
        assert [(p.part_id, p.text) for p in one.parts] == [("p", "one two")]
        assert [(t.call_id, t.tool) for t in one.tools] == [("call-r1", "look")]
        assert [a.approval_id for a in one.approvals] == ["ap-r1"]
        assert opened[RunId("r2")].parts == []


@clause
async def p2_nothing_of_one_user_leads_to_another(site: Site) -> None:
    store = await site.open()
    ada, bob = await Engine.begin(store, ADA, "ma"), await Engine.begin(store, BOB, "mb")
    await ada.write(created("t", SECRET))
    await ada.ask("r1", text=SECRET)
    await ada.write(*work("r1", SECRET))
    await bob.write(created("u"))
    for again in (False, True):
        if again:
            store = await site.open()
        assert await store.approval(ADA, ApprovalId("ap-r1")) is not None
        assert await store.approval(BOB, ApprovalId("ap-r1")) is None
        assert await store.run(BOB, RunId("r1")) is None
        assert await store.history(BOB, ThreadId("t"), 9, None) is None
        await raises(PositionError, store.read(BOB, Position(Mark("ma"), Seq(1))))
        await raises(PositionError, store.acknowledge(BOB, PHONE, Position(Mark("ma"), Seq(1))))
        assert [r.thread_id for r in await store.threads(BOB, 9, None)] == ["u"]
        assert await store.runs(BOB, None, 9) == []
        assert SECRET not in str(await store.entries(BOB, Seq(0)))


@clause
async def p3_pages_of_a_history_and_of_equal_times(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    same = [
        encode(Entry(Seq(n), NOW, ThreadId(f"t{n}"), None, events.ThreadCreated(title=None)))
        for n in range(1, 8)
    ]
    await engine.write(entries=same)
    found: list[str] = []
    before: tuple[int, ThreadId] | None = None
    while page := await store.threads(ADA, 2, before):
        found += [row.thread_id for row in page]
        before = (page[-1].created_ms, page[-1].thread_id)
    assert found == [f"t{n}" for n in range(7, 0, -1)]
    for number in range(5):
        await engine.whole(f"r{number}", "t1")
    runs: list[str] = []
    at: Seq | None = None
    while True:
        history = await store.history(ADA, ThreadId("t1"), 2, at)
        assert history is not None
        if not history.runs:
            break
        runs += [row.run_id for row in history.runs]
        at = Seq(history.runs[-1].first_seq)
        await engine.whole(f"new{len(runs)}", "t1")
    assert runs == [f"r{n}" for n in range(4, -1, -1)]


# -- receipts of delivery ------------------------------------------------------------------------


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
async def k3_fetched_of_a_foreign_run_is_nothing(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.whole("r1")
    await store.fetched(BOB, [RunId("r1")])
    assert [u.run.run_id for u in await store.undelivered()] == ["r1"]
    await store.fetched(ADA, [RunId("r1")])
    assert await store.undelivered() == []


# -- erasing -------------------------------------------------------------------------------------


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
    await submit(store, "open", encode_command(Send(text=f"{SECRET} ada")))
    await ada.write(due_ms=NOW)
    await store.erase_user(ADA, ada.activation.epoch, ada.activation.mark)
    for again in (False, True):
        if again:
            store = await site.open()
        assert await seen(store) == [] and (await store.read(ADA, START)).hidden == ada.head
        assert await store.threads(ADA, 9, None) == [] and await store.runs(ADA, None, 9) == []
        assert await store.pending(ADA) == [] and await store.demand(NOW) == []
        assert (await store.head(ADA)).cursor == ada.head
        assert len(await seen(store, BOB)) == 5
        assert len(await store.search(BOB, [SECRET], 9)) == 1
        assert [u.user for u in await store.undelivered()] == [BOB]
    await store.compact()
    assert not site.traces(f"{SECRET} ada") and site.traces(f"{SECRET} bob")
    # The log goes on where it was.
    after = await Engine.begin(store, mark="m2")
    assert after.activation.head == ada.head and after.activation.open_runs == []
    await after.write(created("new"))
    assert [e["seq"] for e in await seen(store)] == [ada.head + 1]


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
    everything = [await store.prune(LATER, everything=True, limit=4) for _ in range(3)]
    assert everything == [4, 1, 0]
    assert await store.runs(ADA, None, 9) == [] and len(await store.threads(ADA, 9, None)) == 1


# -- keeping -------------------------------------------------------------------------------------


@clause
async def b1_a_restored_store_is_another_log_from_there(site: Site) -> None:
    store = await site.open()
    engine = await Engine.begin(store)
    await submit(store, "waits")
    await engine.write(created("t"))
    await engine.whole("r1")
    await store.acknowledge(ADA, PHONE, Position(Mark("m1"), Seq(engine.head)))
    kept = engine.head
    await store.backup(site.path())
    await engine.whole("r2")
    restored = await site.restored(site.path())
    assert (await restored.read(ADA, Position(Mark("m1"), Seq(kept)))).events == []
    await raises(PositionError, restored.read(ADA, Position(Mark("m1"), Seq(kept + 1))))
    assert await restored.undelivered() == []
    assert [c.command_id for c in await restored.pending(ADA)] == ["waits"]
    await raises(StoreRefusedError, restored.append(engine.append(created("u"))))
    again = await Engine.begin(restored, mark="m2")
    assert again.activation.head == kept
    await again.whole("r3")
    await raises(PositionError, restored.read(ADA, Position(Mark("m1"), Seq(engine.head))))
    assert all(
        e["run_id"] != "r2" for b in await read_all(restored) for e in map(json.loads, b.events)
    )


@clause
async def b2_a_store_that_is_well_says_so(site: Site) -> None:
    store = await site.open()
    assert store.status().writable and store.status().reason is None
    await (await Engine.begin(store)).write(created())
    assert store.status().writable and store.status().reason is None
