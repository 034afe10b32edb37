"""Projections (P): tables that are the fold of the log."""

from __future__ import annotations

from goldenpath.errors import PositionError
from goldenpath.model import events, journal
from goldenpath.model.entries import Entry, decode, encode
from goldenpath.model.ids import ApprovalId, CommandId, Mark, PartId, RunId, Seq, ThreadId
from goldenpath.model.projections import PROJECTING, Rows, apply
from goldenpath.store.interface import Position
from tests.store.harness import (
    ADA,
    BOB,
    HOST,
    NOW,
    PHONE,
    SECRET,
    Engine,
    Site,
    child,
    clause,
    completed,
    created,
    failed,
    piece,
    raises,
    seen,
    work,
)


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
        assert len(found) <= 7
        before = (page[-1].created_ms, page[-1].thread_id)
    assert found == [f"t{n}" for n in range(7, 0, -1)]
    for number in range(5):
        await engine.whole(f"r{number}", "t1")
    runs: list[str] = []
    at: Seq | None = None
    while len(runs) <= 5:
        history = await store.history(ADA, ThreadId("t1"), 2, at)
        assert history is not None
        if not history.runs:
            break
        runs += [row.run_id for row in history.runs]
        at = Seq(history.runs[-1].first_seq)
        await engine.whole(f"new{len(runs)}", "t1")
    assert runs == [f"r{n}" for n in range(4, -1, -1)]
