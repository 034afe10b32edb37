"""The run grammar: legal logs pass, and whatever breaks an invariant is refused."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.errors import GrammarError
from goldenpath.model import events, grammar, journal
from goldenpath.model.entries import TYPE_NAMES, Body, Entry
from goldenpath.model.grammar import UserState, apply, decide
from goldenpath.model.ids import Seq
from goldenpath.model.journal import StepKey
from goldenpath.model.projections import Rows
from goldenpath.model.projections import apply as project
from tests.model.author import Author, a_log
from tests.model.mutations import MUTATIONS, Log, Mutation
from tests.model.shapes import examples

THREAD: Any = "thread"
RUN: Any = "run"
KEY = StepKey("", "lookup", "f00d", 0)


def folded(log: Log) -> UserState:
    state = UserState()
    for entry in log:
        apply(state, entry)
    return state


def snapshot(state: UserState) -> Any:
    """All that a state holds, comparable; without the memory of what ended."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {repr(k): plain(v) for k, v in value.items()}
        if isinstance(value, set):
            return sorted(value)
        if hasattr(type(value), "__slots__") and type(value).__module__.startswith("goldenpath"):
            if hasattr(value, "__struct_fields__"):
                return value
            if hasattr(value, "parts"):
                return value.parts
            return {name: plain(getattr(value, name)) for name in type(value).__slots__}
        return value

    return state.head, plain(state.runs)


@examples(60)
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_legal_logs_are_accepted(seed: int, moves: int) -> None:
    """Whatever keeps the invariants may be appended, and a log's end leaves nothing open."""
    log = a_log(seed, moves)
    state = folded(log)
    assert state.head == len(log)
    assert not state.runs


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.__name__)
def test_each_breach_is_refused(mutation: Mutation) -> None:
    """A log that breaks one invariant in one place is refused, wherever that place is."""
    broken = 0
    for seed in range(400):
        random = Random(seed)
        log = mutation(a_log(seed, 30), random)
        if log is None:
            continue
        broken += 1
        with pytest.raises(GrammarError):
            folded(log)
        if broken == 25:
            break
    assert broken >= 10, "this mutation finds no place: it tests nothing"


@examples(60)
@given(st.integers(0, 2**32), st.data())
def test_deciding_and_refusing_change_nothing(seed: int, data: st.DataObject) -> None:
    """`decide` and a refused `apply` leave the state as it was."""
    log = a_log(seed, 30)
    at = data.draw(st.integers(0, len(log) - 1))
    state = folded(log[:at])
    before = copy.deepcopy(snapshot(state))
    for entry in data.draw(st.lists(st.sampled_from(log), max_size=10)):
        moved = Entry(Seq(state.head + 1), entry.time_ms, entry.thread_id, entry.run_id, entry.body)
        if decide(state, moved) is not None:
            with pytest.raises(GrammarError):
                apply(state, moved)
    assert snapshot(state) == before


@examples(60)
@given(st.integers(0, 2**32), st.data())
def test_restored_state_is_the_state(seed: int, data: st.DataObject) -> None:
    """A takeover at any entry knows what the engine before it knew."""
    author = Author(Random(seed))
    for _ in range(30):
        author.move()
    log = author.log
    at = data.draw(st.integers(0, len(log)))
    rows = Rows()
    for entry in log[:at]:
        project(rows, entry)
    open_runs = [row for row in rows.runs.values() if row.open]
    restored = UserState.restore(
        head=at,
        open_runs=open_runs,
        approvals=[row for row in rows.approvals.values() if row.decision is None],
        entries=log[:at],
    )
    original = folded(log[:at])
    assert snapshot(restored) == snapshot(original)


def test_restoring_refuses_a_log_that_differs_from_its_rows() -> None:
    """Rows of open runs without their entries, or other approvals: not to be written on."""
    author = Author(Random(5))
    author.send()
    run = next(iter(author.runs.values()))
    author.start(run)
    author.ask(run)
    rows = Rows()
    for entry in author.log:
        project(rows, entry)
    runs, approvals = list(rows.runs.values()), list(rows.approvals.values())
    head = len(author.log)
    with pytest.raises(GrammarError, match="no entries"):
        UserState.restore(head=head, open_runs=runs, approvals=approvals, entries=[])
    with pytest.raises(GrammarError, match="approvals differ"):
        UserState.restore(head=head, open_runs=runs, approvals=[], entries=author.log)
    with pytest.raises(GrammarError, match="not open"):
        UserState.restore(head=head, open_runs=runs, approvals=approvals, entries=author.log[3:])


# -- every type in every stage --------------------------------------------------------------------

MESSAGE = events.MessageReceived(message_id="m", text="hi", command_id="c")  # type: ignore[arg-type]
OPENED = journal.RunOpened(agent="analyst", budget_ms=1000)
QUEUED = events.RunQueued(reason="thread_busy", position=1)
STARTED = events.AgentStarted(agent="analyst", version="1", message_id="m", deadline_ms=1000)  # type: ignore[arg-type]
CALL = events.ToolExecuting(call_id="call", tool="lookup", arguments={})  # type: ignore[arg-type]
STEP = journal.StepStarted(key=KEY, kind="tool", call_id="call", attempt=1, remaining_ms=9)  # type: ignore[arg-type]
ASKED = events.ApprovalRequested(
    approval_id="ask",  # type: ignore[arg-type]
    call_id=None,
    tool=None,
    arguments={},
    expires="2026-01-01T00:00:00.000Z",
)
PARKED = journal.RunParked(reason="approval", remaining_ms=9)
FAILED = events.AgentCompleted(
    status="failed",
    output="",
    partial=False,
    error=events.RunError(code="crashed", message="It crashed."),
    usage={},
    duration_ms=1,
)

STAGES: dict[str, list[Body]] = {
    "nothing": [],
    "received": [MESSAGE],
    "opened": [MESSAGE, OPENED],
    "queued": [MESSAGE, OPENED, QUEUED],
    "running": [MESSAGE, OPENED, STARTED, CALL, STEP, ASKED],
    "parked": [MESSAGE, OPENED, STARTED, CALL, STEP, ASKED, PARKED],
    "ended": [MESSAGE, OPENED, FAILED],
}

NEXT: dict[str, tuple[Body, str]] = {
    "message_received": (MESSAGE, "nothing"),
    "run_opened": (OPENED, "received"),
    "run_queued": (QUEUED, "opened"),
    "agent_started": (STARTED, "opened queued"),
    "agent_resumed": (events.AgentResumed(attempt=2, reason="crash"), "running parked"),
    "agent_thinking": (events.AgentThinking(text="hm"), "running"),
    "tool_executing": (
        events.ToolExecuting(call_id="other", tool="lookup", arguments={}),  # type: ignore[arg-type]
        "running",
    ),
    "tool_progress": (events.ToolProgress(call_id="call", text="half"), "running"),  # type: ignore[arg-type]
    "tool_completed": (
        events.ToolCompleted(
            call_id="call",  # type: ignore[arg-type]
            tool="lookup",
            status="ok",
            duration_ms=1,
            attempts=1,
        ),
        "",
    ),
    "agent_output": (events.AgentOutput(part_id="p", offset=0, text="a"), "running"),  # type: ignore[arg-type]
    "approval_requested": (
        events.ApprovalRequested(
            approval_id="next",  # type: ignore[arg-type]
            call_id=None,
            tool=None,
            arguments={},
            expires="2026-01-01T00:00:00.000Z",
        ),
        "running",
    ),
    "approval_resolved": (
        events.ApprovalResolved(approval_id="ask", decision="approved"),  # type: ignore[arg-type]
        "running parked",
    ),
    "agent_completed": (FAILED, "opened queued"),
    "cancel_requested": (
        journal.CancelRequested(reason="user"),
        "opened queued running parked",
    ),
    "step_started": (
        journal.StepStarted(key=StepKey("", "now", "", 0), kind="step", remaining_ms=1),
        "running",
    ),
    "step_completed": (journal.StepCompleted(key=KEY, value=1, remaining_ms=1), "running parked"),
    "run_parked": (PARKED, "running"),
    "run_failure": (journal.RunFailure(detail="Traceback"), "running parked"),
    "command_settled": (
        journal.CommandSettled(command_id="c", body_hash="00", kind="send"),  # type: ignore[arg-type]
        "nothing received opened queued running parked ended",
    ),
}


def test_the_table_names_every_type() -> None:
    """No type of entry is without its place in the grammar."""
    of_threads = {"thread_created", "thread_updated", "thread_deleted"}
    assert set(NEXT) | of_threads == set(TYPE_NAMES.values())


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", NEXT)
def test_a_type_comes_in_its_stages_only(stage: str, name: str) -> None:
    """Each type of entry in each stage of a run: accepted where it belongs, else refused."""
    body, stages = NEXT[name]
    state = UserState()
    for at, before in enumerate(STAGES[stage], 1):
        apply(state, Entry(Seq(at), 0, THREAD, RUN, before))
    refusal = decide(state, Entry(Seq(state.head + 1), 0, THREAD, RUN, body))
    assert (refusal is None) == (stage in stages.split()), refusal


def test_a_run_that_waits_ends_with_its_terminal_alone() -> None:
    """Cancelled in the queue: `agent_completed` without `agent_started`, and never a success."""
    state = UserState()
    for at, body in enumerate(STAGES["queued"], 1):
        apply(state, Entry(Seq(at), 0, THREAD, RUN, body))
    cancelled: Any = {"status": "cancelled", "output": "", "partial": False, "error": None}
    end = events.AgentCompleted(**cancelled, usage={}, duration_ms=0)
    assert decide(state, Entry(Seq(4), 0, THREAD, RUN, end)) is None


CHILD: Any = "child"
FOR_CHILD = StepKey("", "agent writer", "", 0)
FORKED = journal.StepStarted(key=FOR_CHILD, kind="agent", child_run_id=CHILD, remaining_ms=1)
CHILD_OPENED = journal.RunOpened(
    agent="writer", budget_ms=9, depth=1, parent_run_id=RUN, parent_step=FOR_CHILD
)
ASKING = journal.StepStarted(
    key=StepKey("", "approve", "", 0),
    kind="approval",
    approval_id="ask",  # type: ignore[arg-type]
    remaining_ms=1,
)


def changed(body: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(body, **fields)


BEGUN: list[Body] = [MESSAGE, OPENED, STARTED]
REFUSED: list[tuple[str, list[Body], Body, str]] = [
    ("parent_parked", [*BEGUN, FORKED, PARKED], CHILD_OPENED, "parent run is parked"),
    ("parent_unknown", BEGUN, changed(CHILD_OPENED, parent_run_id="x"), "parent x is not open"),
    ("no_step", BEGUN, CHILD_OPENED, "no open step for it"),
    ("step_of_another", [*BEGUN, FORKED], changed(CHILD_OPENED, parent_step=KEY), "no open step"),
    ("too_deep", [*BEGUN, FORKED], changed(CHILD_OPENED, depth=2), "depth 2 does not follow 0"),
    ("no_child", BEGUN, changed(FORKED, child_run_id=None), "names no child"),
    (
        "open_child",
        [*BEGUN, FORKED, CHILD_OPENED],
        journal.StepCompleted(key=FOR_CHILD, remaining_ms=1),
        "child run child is open",
    ),
    ("ok_without_a_step", [*BEGUN, CALL], NEXT["tool_completed"][0], "without a step"),
    (
        "another_call",
        [*BEGUN, CALL, STEP, NEXT["tool_executing"][0]],
        changed(STEP, call_id="other", attempt=2),
        "is of call call",
    ),
    ("second_step", [*BEGUN, CALL, STEP], changed(STEP, key=FOR_CHILD), "has a step already"),
    ("unknown_call", BEGUN, STEP, "call call is not open"),
    ("unknown_approval", BEGUN, ASKING, "approval ask is not open"),
    (
        "undecided",
        [*BEGUN, ASKED, ASKING],
        journal.StepCompleted(key=ASKING.key, remaining_ms=1),
        "approval ask is open",
    ),
    ("ends_undecided", [*BEGUN, ASKED], FAILED, "approvals are open"),
    ("ends_with_a_call", [*BEGUN, CALL], FAILED, "calls are open"),
    ("ends_with_a_child", [*BEGUN, FORKED, CHILD_OPENED], FAILED, "child runs are open"),
]


@pytest.mark.parametrize(
    ("before", "body", "why"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_each_rule_says_why(before: list[Body], body: Body, why: str) -> None:
    """The entry itself is refused, for that reason, where it first breaks a rule."""

    def entry(state: UserState, body: Body) -> Entry:
        child = isinstance(body, journal.RunOpened) and body.depth > 0
        return Entry(Seq(state.head + 1), 0, THREAD, CHILD if child else RUN, body)

    state = UserState()
    for each in before:
        apply(state, entry(state, each))
    refusal = decide(state, entry(state, body))
    assert refusal is not None and why in refusal


def test_a_child_stays_in_its_parents_thread() -> None:
    """A run cannot open a child in another conversation."""
    state = UserState()
    for at, body in enumerate([*BEGUN, FORKED], 1):
        apply(state, Entry(Seq(at), 0, THREAD, RUN, body))
    other: Any = "other"
    refusal = decide(state, Entry(Seq(5), 0, other, CHILD, CHILD_OPENED))
    assert refusal == "its parent is of thread thread, not other"


def test_every_entry_names_its_owner() -> None:
    """A run's entry has a run and a thread, a thread's entry a thread and no run."""
    state = UserState()
    owners: list[tuple[Any, Any, Body]] = [
        (THREAD, None, MESSAGE),
        (None, RUN, MESSAGE),
        (None, None, events.ThreadCreated(title=None)),
        (THREAD, RUN, events.ThreadCreated(title=None)),
    ]
    for thread_id, run_id, body in owners:
        assert decide(state, Entry(Seq(1), 0, thread_id, run_id, body)) is not None


@pytest.mark.parametrize("decision", [None, "denied", "expired", "cancelled"])
def test_a_tool_is_not_entered_before_it_is_approved(decision: Any) -> None:
    """An open or negative approval of a call keeps its body from being entered."""
    asked = events.ApprovalRequested(
        approval_id="gate",  # type: ignore[arg-type]
        call_id="call",  # type: ignore[arg-type]
        tool="lookup",
        arguments={},
        expires="2026-01-01T00:00:00.000Z",
    )
    waiting = journal.StepStarted(key=KEY, kind="tool", call_id="call", remaining_ms=9)  # type: ignore[arg-type]
    bodies: list[Body] = [MESSAGE, OPENED, STARTED, CALL, waiting, asked]
    if decision is not None:
        bodies.append(events.ApprovalResolved(approval_id="gate", decision=decision))  # type: ignore[arg-type]
    state = UserState()
    for at, body in enumerate(bodies, 1):
        apply(state, Entry(Seq(at), 0, THREAD, RUN, body))
    refusal = decide(state, Entry(Seq(len(bodies) + 1), 0, THREAD, RUN, STEP))
    assert refusal is not None and "approval" in refusal


def test_a_refusal_names_what_and_why() -> None:
    """The message is enough to find the entry and the rule."""
    state = folded([Entry(Seq(1), 0, THREAD, RUN, MESSAGE), Entry(Seq(2), 0, THREAD, RUN, OPENED)])
    with pytest.raises(GrammarError) as caught:
        apply(state, Entry(Seq(3), 0, THREAD, RUN, CALL))
    assert str(caught.value) == (
        "tool_executing at 3 (run run): it cannot come while the run is opened"
    )


def test_the_memory_of_ended_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended runs are remembered up to a bound, the newest ones."""
    monkeypatch.setattr(grammar, "ENDED_REMEMBERED", 3)
    log = a_log(11, 200)
    ended = [e.run_id for e in log if isinstance(e.body, events.AgentCompleted)]
    assert len(ended) > 3
    assert list(folded(log).ended) == ended[-3:]
