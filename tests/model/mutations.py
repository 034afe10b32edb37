"""Changes of a legal log that each break one invariant for certain."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from msgspec.structs import replace

from goldenpath.model import events, journal
from goldenpath.model.entries import Body, Entry
from goldenpath.model.ids import CallId, RunId, Seq, ThreadId

Log = list[Entry]
Mutation = Callable[[Log, Random], Log | None]
"""Gives the broken log, numbered anew, or None where that log has no place for it."""

_IN_RUN = (
    events.AgentThinking,
    events.AgentOutput,
    events.ToolExecuting,
    events.ToolProgress,
    events.ApprovalRequested,
    journal.StepStarted,
    journal.RunParked,
)
"""What comes only while a run is running."""


def numbered(log: Log) -> Log:
    """Number a log's entries 1, 2, 3..."""
    return [replace(entry, seq=Seq(at)) for at, entry in enumerate(log, 1)]


def _places(
    log: Log, *types: type[Any], where: Callable[[Any], bool] = lambda _: True
) -> list[int]:
    return [i for i, e in enumerate(log) if isinstance(e.body, types) and where(e.body)]


def _pick(random: Random, places: list[int]) -> int | None:
    return random.choice(places) if places else None


def _without(log: Log, place: int | None) -> Log | None:
    return None if place is None else numbered([*log[:place], *log[place + 1 :]])


def _with(log: Log, place: int, *entries: Entry) -> Log:
    return numbered([*log[:place], *entries, *log[place:]])


def _twice(log: Log, place: int | None) -> Log | None:
    return None if place is None else _with(log, place + 1, log[place])


def _changed(log: Log, place: int | None, **fields: Any) -> Log | None:
    if place is None:
        return None
    entry: Any = log[place]
    body: Body = replace(entry.body, **fields)
    return [*log[:place], replace(entry, body=body), *log[place + 1 :]]


def _later(log: Log, place: int) -> Log:
    """The run's entries after a place."""
    return [e for e in log[place + 1 :] if e.run_id == log[place].run_id]


def gap(log: Log, random: Random) -> Log | None:
    place = random.randrange(len(log) - 1)
    return [*log[:place], *log[place + 1 :]]


def repeat(log: Log, random: Random) -> Log | None:
    place = random.randrange(len(log))
    return [*log[: place + 1], *log[place:]]


def swap(log: Log, random: Random) -> Log | None:
    place = random.randrange(len(log) - 1)
    return [*log[:place], log[place + 1], log[place], *log[place + 2 :]]


def no_message(log: Log, random: Random) -> Log | None:
    return _without(log, _pick(random, _places(log, events.MessageReceived)))


def message_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.MessageReceived)))


def not_opened(log: Log, random: Random) -> Log | None:
    return _without(log, _pick(random, _places(log, journal.RunOpened)))


def opened_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, journal.RunOpened)))


def queued_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.RunQueued)))


def queued_after_start(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.AgentStarted))
    if place is None:
        return None
    return _with(
        log, place + 1, replace(log[place], body=events.RunQueued(reason="user_limit", position=1))
    )


def started_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.AgentStarted)))


def not_started(log: Log, random: Random) -> Log | None:
    places = _places(log, events.AgentStarted)
    places = [p for p in places if any(isinstance(e.body, _IN_RUN) for e in _later(log, p))]
    return _without(log, _pick(random, places))


def started_as_another(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.AgentStarted))
    name = random.choice(["agent", "message_id", "parent_run_id"])
    return _changed(log, place, **{name: "another"})


def attempt_skipped(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.AgentResumed))
    if place is None:
        return None
    body: Any = log[place].body
    return _changed(log, place, attempt=body.attempt + random.choice([-1, 1]))


def not_resumed(log: Log, random: Random) -> Log | None:
    places = _places(log, events.AgentResumed)
    places = [
        p for p in places if any(isinstance(e.body, events.AgentResumed) for e in _later(log, p))
    ]
    return _without(log, _pick(random, places))


def goes_on_while_parked(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, journal.RunParked))
    if place is None:
        return None
    return _with(log, place + 1, replace(log[place], body=events.AgentThinking(text="?")))


def ended_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.AgentCompleted)))


def follows_the_end(log: Log, random: Random) -> Log | None:
    end = _pick(random, _places(log, events.AgentCompleted))
    if end is None:
        return None
    own = [
        e
        for e in log[:end]
        if e.run_id == log[end].run_id and not isinstance(e.body, journal.CommandSettled)
    ]
    return _with(log, random.randrange(end + 1, len(log) + 1), random.choice(own))


def unknown_run(log: Log, random: Random) -> Log | None:
    places = [
        i
        for i, e in enumerate(log)
        if e.run_id is not None and not isinstance(e.body, journal.CommandSettled)
    ]
    place = _pick(random, places)
    if place is None:
        return None
    entry = log[place]
    if isinstance(entry.body, events.MessageReceived):
        return None
    return [*log[:place], replace(entry, run_id=RunId("another")), *log[place + 1 :]]


def foreign_thread(log: Log, random: Random) -> Log | None:
    places = [
        i
        for i, e in enumerate(log)
        if e.run_id is not None
        and not isinstance(e.body, journal.CommandSettled | events.MessageReceived)
    ]
    place = _pick(random, places)
    if place is None:
        return None
    other = random.choice([None, ThreadId("another")])
    return [*log[:place], replace(log[place], thread_id=other), *log[place + 1 :]]


def call_not_ended(log: Log, random: Random) -> Log | None:
    return _without(log, _pick(random, _places(log, events.ToolCompleted)))


def call_ended_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.ToolCompleted)))


def call_not_begun(log: Log, random: Random) -> Log | None:
    return _without(log, _pick(random, _places(log, events.ToolExecuting)))


def call_begun_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.ToolExecuting)))


def call_made_again(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.ToolCompleted))
    if place is None:
        return None
    begun = next(
        e
        for e in log
        if isinstance(e.body, events.ToolExecuting) and e.body.call_id == log[place].body.call_id  # type: ignore[union-attr]
    )
    return _with(log, place + 1, begun)


def call_ends_as_another(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.ToolCompleted))
    changes: list[dict[str, Any]] = [
        {"tool": "another"},
        {"status": "interrupted"},
        {"call_id": CallId("another")},
    ]
    return _changed(log, place, **random.choice(changes))


def progress_of_no_call(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.ToolProgress))
    return _changed(log, place, call_id=CallId("another"))


def _tool_step(body: Any) -> bool:
    return body.key.name in ("lookup", "charge")


def call_ends_before_its_step(log: Log, random: Random) -> Log | None:
    return _without(log, _pick(random, _places(log, journal.StepCompleted, where=_tool_step)))


def step_ended_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, journal.StepCompleted)))


def step_ended_after_its_end(log: Log, random: Random) -> Log | None:
    """A step that begins again after its end was recorded would run twice."""
    ends = _places(log, journal.StepCompleted)
    place = _pick(random, ends)
    if place is None:
        return None
    body: Any = log[place].body
    start = next(
        e for e in log if isinstance(e.body, journal.StepStarted) and e.body.key == body.key
    )
    return _with(log, place + 1, start)


def step_not_started(log: Log, random: Random) -> Log | None:
    ended = {e.body.key for e in log if isinstance(e.body, journal.StepCompleted)}
    places = _places(
        log, journal.StepStarted, where=lambda b: b.key in ended and b.attempt in (0, 1)
    )
    starts = [e.body.key for e in log if isinstance(e.body, journal.StepStarted)]
    places = [p for p in places if starts.count(log[p].body.key) == 1]  # type: ignore[union-attr]
    return _without(log, _pick(random, places))


def step_attempt_repeated(log: Log, random: Random) -> Log | None:
    places = _places(log, journal.StepStarted)
    return _twice(log, _pick(random, places))


def entered_though_denied(log: Log, random: Random) -> Log | None:
    entered = {
        e.body.call_id
        for e in log
        if isinstance(e.body, journal.StepStarted) and e.body.attempt > 0
    }
    asked = {
        e.body.approval_id
        for e in log
        if isinstance(e.body, events.ApprovalRequested) and e.body.call_id in entered
    }
    place = _pick(
        random, _places(log, events.ApprovalResolved, where=lambda b: b.approval_id in asked)
    )
    return _changed(log, place, decision=random.choice(["denied", "expired", "cancelled"]))


def approval_not_resolved(log: Log, random: Random) -> Log | None:
    return _without(log, _pick(random, _places(log, events.ApprovalResolved)))


def approval_resolved_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.ApprovalResolved)))


def approval_not_requested(log: Log, random: Random) -> Log | None:
    return _without(log, _pick(random, _places(log, events.ApprovalRequested)))


def approval_requested_twice(log: Log, random: Random) -> Log | None:
    return _twice(log, _pick(random, _places(log, events.ApprovalRequested)))


def approval_of_no_call(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.ApprovalRequested))
    return _changed(log, place, call_id=CallId("another"))


def child_not_ended(log: Log, random: Random) -> Log | None:
    """The parent's end, or the end of its step, comes while the child is open."""
    children = {e.run_id for e in log if isinstance(e.body, journal.RunOpened) and e.body.depth}
    places = [p for p in _places(log, events.AgentCompleted) if log[p].run_id in children]
    return _without(log, _pick(random, places))


def child_of_nobody(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, journal.RunOpened, where=lambda b: b.depth > 0))
    changes: list[dict[str, Any]] = [
        {"parent_run_id": RunId("another")},
        {"parent_step": None},
        {"depth": 9},
    ]
    return _changed(log, place, **random.choice(changes))


def piece_lost(log: Log, random: Random) -> Log | None:
    """A piece without which the parts differ: the last of its part, with text."""
    last: dict[str, int] = {}
    for place in _places(log, events.AgentOutput):
        last[log[place].body.part_id] = place  # type: ignore[union-attr]
    places = [
        p
        for p in last.values()
        if log[p].body.text and not log[p].body.restart  # type: ignore[union-attr]
    ]
    return _without(log, _pick(random, places))


def piece_elsewhere(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.AgentOutput))
    if place is None:
        return None
    body: Any = log[place].body
    return _changed(log, place, offset=body.offset + random.choice([-1, 1, 7]))


def another_answer(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.AgentCompleted))
    if place is None:
        return None
    body: Any = log[place].body
    return _changed(log, place, output=body.output[:-1] if body.output else "invented")


def invented_success(log: Log, random: Random) -> Log | None:
    places = _places(
        log, events.AgentCompleted, where=lambda b: b.status != "succeeded" and not b.output.strip()
    )
    return _changed(log, _pick(random, places), status="succeeded", error=None, partial=False)


def success_with_an_error(log: Log, random: Random) -> Log | None:
    places = _places(log, events.AgentCompleted, where=lambda b: b.status == "succeeded")
    changes: list[dict[str, Any]] = [
        {"partial": True},
        {"error": events.RunError(code="crashed", message="")},
    ]
    return _changed(log, _pick(random, places), **random.choice(changes))


def failure_without_error(log: Log, random: Random) -> Log | None:
    places = _places(log, events.AgentCompleted, where=lambda b: b.status == "failed")
    return _changed(log, _pick(random, places), error=None)


def thread_deleted_under_a_run(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.AgentCompleted))
    if place is None:
        return None
    entry = log[place]
    return _with(
        log, place, Entry(Seq(0), entry.time_ms, entry.thread_id, None, events.ThreadDeleted())
    )


def thread_entry_of_a_run(log: Log, random: Random) -> Log | None:
    place = _pick(random, _places(log, events.ThreadUpdated, events.ThreadCreated))
    if place is None:
        return None
    return [*log[:place], replace(log[place], run_id=RunId("another")), *log[place + 1 :]]


MUTATIONS: list[Mutation] = [
    gap,
    repeat,
    swap,
    no_message,
    message_twice,
    not_opened,
    opened_twice,
    queued_twice,
    queued_after_start,
    started_twice,
    not_started,
    started_as_another,
    attempt_skipped,
    not_resumed,
    goes_on_while_parked,
    ended_twice,
    follows_the_end,
    unknown_run,
    foreign_thread,
    call_not_ended,
    call_ended_twice,
    call_not_begun,
    call_begun_twice,
    call_made_again,
    call_ends_as_another,
    progress_of_no_call,
    call_ends_before_its_step,
    step_ended_twice,
    step_ended_after_its_end,
    step_not_started,
    step_attempt_repeated,
    entered_though_denied,
    approval_not_resolved,
    approval_resolved_twice,
    approval_not_requested,
    approval_requested_twice,
    approval_of_no_call,
    child_not_ended,
    child_of_nobody,
    piece_lost,
    piece_elsewhere,
    another_answer,
    invented_success,
    success_with_an_error,
    failure_without_error,
    thread_deleted_under_a_run,
    thread_entry_of_a_run,
]
