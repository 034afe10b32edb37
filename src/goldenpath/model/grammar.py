"""The grammar of a user's log as a state machine: what may follow, and nothing else.

`decide` says why an entry may not come next, `apply` takes one that may. The engine applies every
entry before it appends it, so what this module refuses cannot reach a log.

A run goes through stages; `_WHEN` says in which of them each type of entry may come:

    (message_received)          (run_opened of a child)
            |                              |
        received --run_opened--> opened --run_queued--> queued
                                   |                      |
                                   +----agent_started-----+
                                               |
                          agent_resumed --> running --run_parked--> parked --agent_resumed--> ...

and `agent_completed` ends it from any stage but `received`. Beyond the stage, each type has a rule
of its own: a tool ends once and after its step, its body is not entered before an approval that it
waits for, nothing is open at the end, and the answer at the end is the pieces joined.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from goldenpath.errors import GrammarError
from goldenpath.model import events, journal
from goldenpath.model.entries import TYPE_NAMES, Entry
from goldenpath.model.ids import ApprovalId, CallId, MessageId, RunId, ThreadId
from goldenpath.model.journal import StepKey
from goldenpath.model.projections import AnswerText
from goldenpath.model.views import ApprovalRow, RunRow

Stage = Literal["received", "opened", "queued", "running", "parked"]

ENDED_REMEMBERED = 1024
"""Ids of the runs that ended last and cannot begin again: a bound, since ids are minted once."""


class _Call:
    """A tool's call: `step` is its step, `gate` the decision of its last approval."""

    __slots__ = ("gate", "step", "tool")

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self.step: _Step | None = None
        self.gate: str | None = "approved"


class _Step:
    """A step that was started; `outcome` is the failed status or "ok" once it is completed."""

    __slots__ = ("attempt", "outcome", "start")

    def __init__(self, start: journal.StepStarted) -> None:
        self.start = start
        self.attempt = start.attempt
        self.outcome: str | None = None


class RunState:
    """What the grammar knows of an open run."""

    __slots__ = (
        "agent",
        "answer",
        "approvals",
        "attempt",
        "calls",
        "children",
        "depth",
        "message_id",
        "open_approvals",
        "open_calls",
        "parent_run_id",
        "stage",
        "steps",
        "thread_id",
    )

    def __init__(self, thread_id: ThreadId, message_id: MessageId | None) -> None:
        self.thread_id = thread_id
        self.message_id = message_id
        self.parent_run_id: RunId | None = None
        self.agent = ""
        self.depth = 0
        self.stage: Stage = "received"
        self.attempt = 0
        self.children = 0
        self.calls: dict[CallId, _Call] = {}
        self.open_calls: set[CallId] = set()
        self.approvals: dict[ApprovalId, CallId | None] = {}
        self.open_approvals: set[ApprovalId] = set()
        self.steps: dict[StepKey, _Step] = {}
        self.answer = AnswerText()

    def open(self, opened: journal.RunOpened) -> None:
        """Take the facts of `run_opened`."""
        self.agent = opened.agent
        self.depth = opened.depth
        self.parent_run_id = opened.parent_run_id
        self.stage = "opened"


class UserState:
    """The state of one user's log: its head and its open runs. Mutable; owned by one engine."""

    __slots__ = ("ended", "head", "runs")

    def __init__(self, head: int = 0) -> None:
        self.head = head
        self.runs: dict[RunId, RunState] = {}
        self.ended: dict[RunId, None] = {}

    @classmethod
    def restore(
        cls,
        *,
        head: int,
        open_runs: Sequence[RunRow],
        approvals: Sequence[ApprovalRow],
        entries: Iterable[Entry],
    ) -> UserState:
        """The state at `head`, from the open runs and their entries (all of them, in order).

        Entries of other runs are skipped. Raises GrammarError where rows and entries differ, or
        where the entries themselves break the grammar: such a log must not be written on.
        """
        state = cls(head)
        known = {row.run_id for row in open_runs}
        for entry in entries:
            if entry.run_id in known:
                state.head = entry.seq - 1
                apply(state, entry)
        state.head = head
        missing = known - state.runs.keys()
        if missing:
            raise GrammarError(f"open runs have no entries, or ended: {sorted(missing)}")
        asked = {row.approval_id for row in approvals}
        open_ = {name for run in state.runs.values() for name in run.open_approvals}
        if asked != open_:
            raise GrammarError(f"open approvals differ from the log: {sorted(asked ^ open_)}")
        return state


def decide(state: UserState, entry: Entry) -> str | None:
    """Why this entry may not come next; None if it may. Changes nothing."""
    if entry.seq != state.head + 1:
        return f"seq {entry.seq} does not follow {state.head}"
    body, run_id = entry.body, entry.run_id
    kind = type(body)
    if kind is journal.CommandSettled:
        return None  # of the user, though it may name a run, even an ended one
    if entry.thread_id is None:
        return "it needs a thread_id"
    if kind in _OF_THREADS:
        return "a thread's entry has no run_id" if run_id is not None else _thread(state, entry)
    if run_id is None:
        return "it needs a run_id"
    run = state.runs.get(run_id)
    if kind is events.MessageReceived:
        return _beginning(state, run_id)
    if isinstance(body, journal.RunOpened) and body.parent_run_id is not None:
        return _beginning(state, run_id) or _child(state, entry, body)
    if run is None:
        return f"the run {'has ended' if run_id in state.ended else 'is not open'}"
    if entry.thread_id != run.thread_id:
        return f"the run is of thread {run.thread_id}, not {entry.thread_id}"
    if run.stage not in _WHEN[kind]:
        return f"it cannot come while the run is {run.stage}"
    rule = _RULES.get(kind)
    return None if rule is None else rule(state, run, body)


def apply(state: UserState, entry: Entry) -> None:
    """Take an entry that may come next. Raises GrammarError with the reason if it may not."""
    refusal = decide(state, entry)
    body, run_id = entry.body, entry.run_id
    if refusal is not None:
        name = TYPE_NAMES[type(body)]
        raise GrammarError(f"{name} at {entry.seq} (run {run_id}): {refusal}")
    state.head = entry.seq
    kind = type(body)
    if run_id is None or kind is journal.CommandSettled:
        return
    run = state.runs.get(run_id)
    if run is None:
        _begin(state, entry, run_id)
    elif kind is events.AgentCompleted:
        _end(state, run_id, run)
    else:
        effect = _EFFECTS.get(kind)
        if effect is not None:
            effect(run, body)


_OF_THREADS = frozenset({events.ThreadCreated, events.ThreadUpdated, events.ThreadDeleted})

_OPENED: frozenset[Stage] = frozenset({"opened", "queued", "running", "parked"})
_STARTED: frozenset[Stage] = frozenset({"running", "parked"})
_RUNNING: frozenset[Stage] = frozenset({"running"})

_WHEN: dict[type[Any], frozenset[Stage]] = {
    journal.RunOpened: frozenset({"received"}),
    events.RunQueued: frozenset({"opened"}),
    events.AgentStarted: frozenset({"opened", "queued"}),
    events.AgentResumed: _STARTED,
    events.AgentThinking: _RUNNING,
    events.AgentOutput: _RUNNING,
    events.ToolExecuting: _RUNNING,
    events.ToolProgress: _RUNNING,
    events.ToolCompleted: _STARTED,
    events.ApprovalRequested: _RUNNING,
    events.ApprovalResolved: _STARTED,
    events.AgentCompleted: _OPENED,
    journal.CancelRequested: _OPENED,
    journal.StepStarted: _RUNNING,
    journal.StepCompleted: _STARTED,
    journal.RunParked: _RUNNING,
    journal.RunFailure: _STARTED,
}


# -- rules: why an entry may not come ------------------------------------------------------------


def _thread(state: UserState, entry: Entry) -> str | None:
    if isinstance(entry.body, events.ThreadDeleted):
        for run_id, run in state.runs.items():
            if run.thread_id == entry.thread_id:
                return f"its run {run_id} is open"
    return None


def _beginning(state: UserState, run_id: RunId) -> str | None:
    if run_id in state.runs:
        return "the run is open already"
    return "the run has ended" if run_id in state.ended else None


def _child(state: UserState, entry: Entry, body: journal.RunOpened) -> str | None:
    parent_id = body.parent_run_id
    parent = None if parent_id is None else state.runs.get(parent_id)
    if parent is None:
        return f"its parent {parent_id} is not open"
    if parent.stage != "running":
        return f"its parent {parent_id} is {parent.stage}"
    if parent.thread_id != entry.thread_id:
        return f"its parent is of thread {parent.thread_id}, not {entry.thread_id}"
    if body.depth != parent.depth + 1:
        return f"depth {body.depth} does not follow {parent.depth}"
    step = None if body.parent_step is None else parent.steps.get(body.parent_step)
    if step is None or step.outcome is not None or step.start.child_run_id != entry.run_id:
        return f"its parent {parent_id} has no open step for it"
    return None


def _agent_started(state: UserState, run: RunState, body: events.AgentStarted) -> str | None:
    for name, given, known in (
        ("agent", body.agent, run.agent),
        ("message_id", body.message_id, run.message_id),
        ("parent_run_id", body.parent_run_id, run.parent_run_id),
    ):
        if given != known:
            return f"{name} {given} is not the run's {known}"
    return None


def _agent_resumed(state: UserState, run: RunState, body: events.AgentResumed) -> str | None:
    if body.attempt != run.attempt + 1:
        return f"attempt {body.attempt} does not follow {run.attempt}"
    return None


def _agent_output(state: UserState, run: RunState, body: events.AgentOutput) -> str | None:
    at = 0 if body.restart else run.answer.length(body.part_id)
    return None if body.offset == at else f"offset {body.offset} is not {at}"


def _tool_executing(state: UserState, run: RunState, body: events.ToolExecuting) -> str | None:
    return f"call {body.call_id} was made already" if body.call_id in run.calls else None


def _open_call(state: UserState, run: RunState, body: events.ToolProgress) -> str | None:
    return None if body.call_id in run.open_calls else f"call {body.call_id} is not open"


def _tool_completed(state: UserState, run: RunState, body: events.ToolCompleted) -> str | None:
    if body.call_id not in run.open_calls:
        return f"call {body.call_id} is not open"
    call = run.calls[body.call_id]
    if body.tool != call.tool:
        return f"call {body.call_id} is of {call.tool}, not {body.tool}"
    if call.step is None:
        return "a call without a step cannot be ok" if body.status == "ok" else None
    if call.step.outcome is None:
        return f"the step of call {body.call_id} is not completed"
    if call.step.outcome != body.status:
        return f"status {body.status} is not its step's {call.step.outcome}"
    return None


def _approval_requested(
    state: UserState, run: RunState, body: events.ApprovalRequested
) -> str | None:
    if body.approval_id in run.approvals:
        return f"approval {body.approval_id} was requested already"
    if body.call_id is not None and body.call_id not in run.open_calls:
        return f"call {body.call_id} is not open"
    return None


def _approval_resolved(
    state: UserState, run: RunState, body: events.ApprovalResolved
) -> str | None:
    if body.approval_id not in run.open_approvals:
        return f"approval {body.approval_id} is not open"
    return None


def _step_started(state: UserState, run: RunState, body: journal.StepStarted) -> str | None:
    step = run.steps.get(body.key)
    if step is not None:
        if step.outcome is not None:
            return f"step {body.key} is completed"
        if body.kind != "tool" or step.start.kind != "tool":
            return f"step {body.key} was started already"
        if body.call_id != step.start.call_id:
            return f"step {body.key} is of call {step.start.call_id}, not {body.call_id}"
        if body.attempt <= step.attempt:
            return f"attempt {body.attempt} does not follow {step.attempt}"
    if body.kind == "tool":
        if body.call_id is None or body.call_id not in run.open_calls:
            return f"call {body.call_id} is not open"
        call = run.calls[body.call_id]
        if step is None and call.step is not None:
            return f"call {body.call_id} has a step already"
        if body.attempt and call.gate != "approved":
            return f"the approval of call {body.call_id} is {call.gate or 'open'}"
    if body.kind == "approval" and body.approval_id not in run.open_approvals:
        return f"approval {body.approval_id} is not open"
    if body.kind == "agent" and body.child_run_id is None:
        return "it names no child run"
    return None


def _step_completed(state: UserState, run: RunState, body: journal.StepCompleted) -> str | None:
    step = run.steps.get(body.key)
    if step is None:
        return f"step {body.key} was not started"
    if step.outcome is not None:
        return f"step {body.key} was completed already"
    start = step.start
    if start.kind == "approval" and start.approval_id in run.open_approvals:
        return f"approval {start.approval_id} is open"
    if start.kind == "agent" and start.child_run_id in state.runs:
        return f"child run {start.child_run_id} is open"
    return None


def _agent_completed(state: UserState, run: RunState, body: events.AgentCompleted) -> str | None:
    if run.open_calls:
        return f"calls are open: {sorted(run.open_calls)}"
    if run.open_approvals:
        return f"approvals are open: {sorted(run.open_approvals)}"
    if run.children:
        return f"child runs are open: {run.children}"
    text = run.answer.text
    if body.output != text:
        return f"its output ({len(body.output)} long) is not what was written ({len(text)} long)"
    if body.status == "succeeded":
        if run.stage != "running":
            return f"a run that is {run.stage} cannot succeed"
        if body.error is not None or body.partial or not text.strip():
            return "a success has a whole answer and no error"
    elif body.status == "failed" and body.error is None:
        return "a failure has an error"
    return None


_RULES: dict[type[Any], Callable[[UserState, RunState, Any], str | None]] = {
    events.AgentStarted: _agent_started,
    events.AgentResumed: _agent_resumed,
    events.AgentOutput: _agent_output,
    events.ToolExecuting: _tool_executing,
    events.ToolProgress: _open_call,
    events.ToolCompleted: _tool_completed,
    events.ApprovalRequested: _approval_requested,
    events.ApprovalResolved: _approval_resolved,
    events.AgentCompleted: _agent_completed,
    journal.StepStarted: _step_started,
    journal.StepCompleted: _step_completed,
}


# -- effects: what an entry that came changes ----------------------------------------------------


def _begin(state: UserState, entry: Entry, run_id: RunId) -> None:
    body = entry.body
    assert entry.thread_id is not None
    if isinstance(body, events.MessageReceived):
        state.runs[run_id] = RunState(entry.thread_id, body.message_id)
    elif isinstance(body, journal.RunOpened) and body.parent_run_id is not None:
        run = state.runs[run_id] = RunState(entry.thread_id, None)
        run.open(body)
        state.runs[body.parent_run_id].children += 1


def _end(state: UserState, run_id: RunId, run: RunState) -> None:
    del state.runs[run_id]
    state.ended[run_id] = None
    if len(state.ended) > ENDED_REMEMBERED:
        del state.ended[next(iter(state.ended))]
    if run.parent_run_id is not None:
        state.runs[run.parent_run_id].children -= 1


def _start(run: RunState, body: events.AgentStarted) -> None:
    run.stage, run.attempt = "running", 1


def _resume(run: RunState, body: events.AgentResumed) -> None:
    run.stage, run.attempt = "running", body.attempt


def _queue(run: RunState, body: events.RunQueued) -> None:
    run.stage = "queued"


def _park(run: RunState, body: journal.RunParked) -> None:
    run.stage = "parked"


def _write(run: RunState, body: events.AgentOutput) -> None:
    run.answer.apply(body)


def _open_the_call(run: RunState, body: events.ToolExecuting) -> None:
    run.calls[body.call_id] = _Call(body.tool)
    run.open_calls.add(body.call_id)


def _close_the_call(run: RunState, body: events.ToolCompleted) -> None:
    run.open_calls.discard(body.call_id)


def _ask(run: RunState, body: events.ApprovalRequested) -> None:
    run.approvals[body.approval_id] = body.call_id
    run.open_approvals.add(body.approval_id)
    if body.call_id is not None:
        run.calls[body.call_id].gate = None


def _resolve(run: RunState, body: events.ApprovalResolved) -> None:
    call_id = run.approvals[body.approval_id]
    run.open_approvals.discard(body.approval_id)
    if call_id is not None:
        run.calls[call_id].gate = body.decision


def _step(run: RunState, body: journal.StepStarted) -> None:
    step = run.steps.get(body.key)
    if step is None:
        step = run.steps[body.key] = _Step(body)
        if body.kind == "tool" and body.call_id is not None:
            run.calls[body.call_id].step = step
    step.attempt = body.attempt


def _complete(run: RunState, body: journal.StepCompleted) -> None:
    run.steps[body.key].outcome = body.failed_status or "ok"


_EFFECTS: dict[type[Any], Callable[[RunState, Any], None]] = {
    journal.RunOpened: RunState.open,
    events.RunQueued: _queue,
    events.AgentStarted: _start,
    events.AgentResumed: _resume,
    events.AgentOutput: _write,
    events.ToolExecuting: _open_the_call,
    events.ToolCompleted: _close_the_call,
    events.ApprovalRequested: _ask,
    events.ApprovalResolved: _resolve,
    journal.StepStarted: _step,
    journal.StepCompleted: _complete,
    journal.RunParked: _park,
}
