"""Projections: a fold that can go on from stored rows, and forgives what was erased."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.model import events, journal
from goldenpath.model.commands import Receipt
from goldenpath.model.entries import TYPE_NAMES, Body, Entry, format_time
from goldenpath.model.ids import Seq
from goldenpath.model.journal import StepKey
from goldenpath.model.projections import (
    PROJECTING,
    AnswerText,
    Rows,
    apply,
    keys,
    open_run_view,
)
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow, Timer
from tests.model.author import Author, a_log
from tests.model.shapes import examples

THREAD: Any = "thread"
RUN: Any = "run"
KINDS: dict[str, type[Any]] = {
    "threads": ThreadRow,
    "runs": RunRow,
    "approvals": ApprovalRow,
    "receipts": Receipt,
}

MESSAGE = events.MessageReceived(message_id="m", text="hi", command_id="c")  # type: ignore[arg-type]
OPENED = journal.RunOpened(agent="analyst", budget_ms=1000)
STARTED = events.AgentStarted(agent="analyst", version="7", message_id="m", deadline_ms=1000)  # type: ignore[arg-type]


def folded(log: list[Entry]) -> Rows:
    rows = Rows()
    for entry in log:
        apply(rows, entry)
    return rows


def everything(rows: Rows) -> dict[str, Any]:
    return {name: dict(getattr(rows, name)) for name in KINDS}


def run_after(*bodies: Body) -> RunRow:
    """The row of one run after these entries, one second apart."""
    log = [Entry(Seq(at), at * 1000, THREAD, RUN, body) for at, body in enumerate(bodies, 1)]
    return folded(log).runs[RUN]


class Stored:
    """Rows as a store keeps them: encoded; an entry's rows are read, folded and written back."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[Any, bytes]] = {name: {} for name in KINDS}

    def load(self, name: str, wanted: Any) -> dict[Any, Any]:
        return {
            key: msgspec.json.decode(data, type=KINDS[name])
            for key, data in self.rows[name].items()
            if wanted(key, data)
        }

    def apply(self, entry: Entry) -> None:
        touched = keys(entry)
        rows = Rows()
        if isinstance(entry.body, events.ThreadDeleted):
            rows.threads, rows.runs = self.load("threads", _all), self.load("runs", _all)
            rows.approvals, rows.receipts = (
                self.load("approvals", _all),
                self.load("receipts", _all),
            )
            self.rows = {name: {} for name in KINDS}
        else:
            rows.threads = self.load("threads", lambda key, _: key == touched.thread_id)
            rows.runs = self.load("runs", lambda key, _: key == touched.run_id)
            rows.approvals = self.load("approvals", lambda key, _: key == touched.approval_id)
            rows.receipts = self.load("receipts", lambda key, _: key == touched.command_id)
        apply(rows, entry)
        for name in KINDS:
            for key, row in getattr(rows, name).items():
                self.rows[name][key] = msgspec.json.encode(row)


def _all(key: Any, data: bytes) -> bool:
    return True


@examples(50)
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_folding_through_stored_rows_is_folding_the_log(seed: int, moves: int) -> None:
    """Rows written, read and folded further, one entry at a time, equal the fold of the log."""
    log, stored = a_log(seed, moves), Stored()
    for entry in log:
        stored.apply(entry)
    loaded = {name: stored.load(name, _all) for name in KINDS}
    assert loaded == everything(folded(log))


@examples(50)
@given(st.integers(0, 2**32), st.data())
def test_other_types_change_no_row(seed: int, data: st.DataObject) -> None:
    """A store may skip what is not PROJECTING."""
    author = Author(Random(seed))
    for _ in range(data.draw(st.integers(1, 60))):
        author.move()
    kept = [entry for entry in author.log if TYPE_NAMES[type(entry.body)] in PROJECTING]
    assert everything(folded(kept)) == everything(folded(author.log))


def test_every_projecting_type_changes_rows() -> None:
    """PROJECTING names nothing that a store decodes in vain."""
    changed: set[str] = set()
    for seed in range(60):
        rows = Rows()
        for entry in a_log(seed, 40):
            before = everything(rows)
            apply(rows, entry)
            if everything(rows) != before:
                changed.add(TYPE_NAMES[type(entry.body)])
    assert changed == PROJECTING


@examples(50)
@given(st.integers(0, 2**32), st.integers(1, 80))
def test_rows_are_of_the_log(seed: int, moves: int) -> None:
    """What the rows say is what the log says, read in another way."""
    log = a_log(seed, moves)
    rows = folded(log)
    deleted = {e.thread_id for e in log if isinstance(e.body, events.ThreadDeleted)}
    ends = {
        e.run_id: e
        for e in log
        if isinstance(e.body, events.AgentCompleted) and e.thread_id not in deleted
    }
    assert set(rows.runs) == set(ends)
    for run_id, row in rows.runs.items():
        own = [e for e in log if e.run_id == run_id]
        end: Any = ends[run_id].body
        resumed = [e.body for e in own if isinstance(e.body, events.AgentResumed)]
        started = any(isinstance(e.body, events.AgentStarted) for e in own)
        assert (row.status, row.output, row.error) == (end.status, end.output, end.error)
        assert (row.partial, row.usage) == (end.partial, end.usage)
        opened: Any = next(e.body for e in own if isinstance(e.body, journal.RunOpened))
        assert (row.ahead, row.depth) == (opened.ahead, opened.depth)
        assert row.parent_run_id == opened.parent_run_id
        assert (row.first_seq, row.last_seq) == (own[0].seq, own[-1].seq)
        assert row.attempts == len(resumed) + started
        assert row.deaths == sum(body.reason == "crash" for body in resumed)
        assert row.cancel_requested == any(isinstance(e.body, journal.CancelRequested) for e in own)
        assert (row.parked, row.due_ms, row.timers) == (None, None, ())
    for thread in rows.threads.values():
        roots = [r for r in rows.runs.values() if r.thread_id == thread.thread_id and not r.depth]
        newest = max(roots, key=lambda r: r.first_seq, default=None)
        assert thread.agent == (None if newest is None else newest.agent)
    assert all(row.run_id in rows.runs for row in rows.approvals.values())
    assert all(row.decision is not None for row in rows.approvals.values())
    for receipt in rows.receipts.values():
        assert (receipt.body_hash is None) == (receipt.thread_id in deleted - {None})


@examples(80)
@given(st.integers(0, 2**32), st.data())
def test_erased_entries_are_forgiven(seed: int, data: st.DataObject) -> None:
    """Any entries may be missing: the fold goes on, and makes up no run from what is left."""
    log = a_log(seed, 40)
    gone = data.draw(st.sets(st.integers(0, len(log) - 1)))
    rows = folded([entry for at, entry in enumerate(log) if at not in gone])
    for row in rows.runs.values():
        first = log[row.first_seq - 1]
        assert row.first_seq - 1 not in gone
        assert isinstance(first.body, events.MessageReceived | journal.RunOpened)


# -- one run, stage by stage ---------------------------------------------------------------------


def test_a_run_waits_until_it_starts() -> None:
    """Received, opened and queued are `waiting`; then it runs with its first attempt."""
    queued = events.RunQueued(reason="thread_busy", position=1)
    row = run_after(MESSAGE, OPENED, queued)
    assert (row.status, row.attempts, row.text, row.agent) == ("waiting", 0, "hi", "analyst")
    assert (row.budget_ms, row.remaining_ms, row.queued_ms) == (1000, 1000, 1000)
    row = run_after(MESSAGE, OPENED, queued, STARTED)
    assert (row.status, row.attempts, row.version, row.started_ms) == ("running", 1, "7", 4000)


def test_a_parked_run_tells_why_and_until_when() -> None:
    """`due_ms` is the earliest open timer while it is parked, also the second time."""
    nap, longer = StepKey("", "sleep", "a", 0), StepKey("", "approve", "b", 0)
    bodies: list[Body] = [
        MESSAGE,
        OPENED,
        STARTED,
        journal.StepStarted(key=nap, kind="sleep", until_ms=5000, remaining_ms=900),
        journal.StepStarted(key=longer, kind="approval", until_ms=9000, remaining_ms=800),
    ]
    assert run_after(*bodies).due_ms is None
    bodies.append(journal.RunParked(reason="approval", remaining_ms=700))
    row = run_after(*bodies)
    assert (row.status, row.parked, row.remaining_ms, row.due_ms) == (
        "running",
        "approval",
        700,
        5000,
    )
    bodies.append(journal.StepCompleted(key=nap, remaining_ms=700))
    assert run_after(*bodies).due_ms == 9000
    bodies.append(events.AgentResumed(attempt=2, reason="sleep"))
    row = run_after(*bodies)
    assert (row.parked, row.due_ms, row.attempts, row.deaths) == (None, None, 2, 0)
    bodies.append(journal.RunParked(reason="approval", remaining_ms=600))
    assert run_after(*bodies).due_ms == 9000
    assert run_after(*bodies).timers == (Timer(longer, 9000),)


def test_a_run_without_its_process_is_resuming_until_it_goes_on() -> None:
    """What waits for something else is `running`, and so is what died without a word."""
    for reason in ("shutdown", "crash"):
        bodies: list[Body] = [MESSAGE, OPENED, STARTED]
        bodies.append(journal.RunParked(reason=reason, remaining_ms=500))
        row = run_after(*bodies)
        assert (row.status, row.parked, row.remaining_ms) == ("resuming", reason, 500)
        bodies.append(journal.CancelRequested(reason="user"))
        assert run_after(*bodies).status == "resuming"
        resumed = run_after(*bodies, events.AgentResumed(attempt=2, reason=reason))
        assert (resumed.status, resumed.parked) == ("running", None)
        assert resumed.deaths == (reason == "crash")
        asks = journal.RunParked(reason="approval", remaining_ms=400)
        again = run_after(*bodies, events.AgentResumed(attempt=2, reason=reason), asks)
        assert (again.status, again.parked) == ("running", "approval")
        end = events.AgentCompleted(
            status="cancelled", output="", partial=False, error=None, usage={}, duration_ms=1
        )
        assert run_after(*bodies, end).status == "cancelled"
    for other in ("approval", "sleep", "child"):
        row = run_after(MESSAGE, OPENED, STARTED, journal.RunParked(reason=other, remaining_ms=1))
        assert (row.status, row.parked) == ("running", other)


def test_only_a_crash_is_a_death() -> None:
    """`deaths` counts attempts that ended uncleanly, not takeovers and waits."""
    reasons: list[Any] = ["crash", "shutdown", "approval", "crash", "handover"]
    resumed = [events.AgentResumed(attempt=n, reason=r) for n, r in enumerate(reasons, 2)]
    row = run_after(MESSAGE, OPENED, STARTED, *resumed)
    assert (row.attempts, row.deaths, row.status) == (6, 2, "running")


def test_a_deleted_thread_takes_its_rows_along() -> None:
    """Runs, children, approvals and the hashes of commands go; other threads stay."""
    author = Author(Random(1))
    author.send()
    first = next(iter(author.runs.values()))
    author.start(first)
    author.child(first)
    author.ask(first)
    author.finish_all()
    author.random = Random(4)
    while len(author.threads) < 2:
        author.send()
    author.finish_all()
    at = len(author.log) + 1
    entry = Entry(Seq(at), 0, first.thread_id, None, events.ThreadDeleted())
    rows = folded([*author.log, entry])
    assert first.thread_id not in rows.threads
    assert len(rows.threads) == 1
    assert all(row.thread_id != first.thread_id for row in rows.runs.values())
    assert not rows.approvals
    kept = [r for r in rows.receipts.values() if r.thread_id == first.thread_id]
    assert kept and all(r.body_hash is None and r.run_id for r in kept)
    assert all(
        r.body_hash for r in rows.receipts.values() if r.thread_id not in (None, first.thread_id)
    )


def test_an_approval_expires_when_it_says() -> None:
    """`expires_ms` is the moment that the event shows."""
    asked = events.ApprovalRequested(
        approval_id="a",  # type: ignore[arg-type]
        call_id=None,
        tool="charge",
        arguments={"cents": 5},
        expires=format_time(1_767_323_045_678),
    )
    rows = folded([Entry(Seq(1), 0, THREAD, RUN, asked)])
    (row,) = rows.approvals.values()
    assert (row.expires_ms, row.decision, row.requested_seq) == (1_767_323_045_678, None, 1)


# -- the answer ----------------------------------------------------------------------------------


def piece(part_id: str, text: str, *, restart: bool = False) -> events.AgentOutput:
    return events.AgentOutput(part_id=part_id, offset=0, text=text, restart=restart)  # type: ignore[arg-type]


def test_parts_are_ordered_by_their_first_piece() -> None:
    """Pieces of parts may come mixed; a restart keeps the part's place."""
    answer = AnswerText()
    for each in (
        piece("a", "one "),
        piece("b", "three"),
        piece("a", "two "),
        piece("a", "1 ", restart=True),
        piece("a", "2 "),
    ):
        answer.apply(each)
    assert answer.text == "1 2 three"
    assert [(p.part_id, p.text) for p in answer.parts] == [("a", "1 2 "), ("b", "three")]


def test_lengths_count_code_points() -> None:
    """An emoji is one, a letter with a combining accent two."""
    answer = AnswerText()
    answer.apply(piece("a", "😀"))
    answer.apply(piece("a", "e\u0301"))
    assert (answer.length("a"), answer.length("b")) == (3, 0)  # type: ignore[arg-type]
    answer.apply(piece("a", "", restart=True))
    assert (answer.length("a"), answer.text) == (0, "")  # type: ignore[arg-type]


@examples(40)
@given(st.integers(0, 2**32), st.integers(1, 60))
def test_the_view_of_an_open_run_is_what_its_events_tell(seed: int, moves: int) -> None:
    """Parts so far and tools that have not ended, for every run that is open."""
    author = Author(Random(seed))
    for _ in range(moves):
        author.move()
    for run_id, draft in author.runs.items():
        parts, tools = open_run_view(e for e in author.log if e.run_id == run_id)
        assert {p.part_id: p.text for p in parts} == draft.parts
        assert [p.part_id for p in parts] == list(draft.parts)
        assert {t.call_id: t.tool for t in tools} == {t.call_id: t.tool for t in draft.tools}
