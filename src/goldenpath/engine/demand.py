"""When a user must be looked at though nobody asks: expiries, ends of sleeps, what has come."""

from __future__ import annotations

from collections.abc import Mapping

from goldenpath.engine.run import Run
from goldenpath.model.ids import RunId
from goldenpath.model.journal import INTERRUPTIONS

Runs = Mapping[RunId, Run]


def may_go_on(run: Run, runs: Runs, now_ms: int) -> bool:
    """True if something that the parked run waits for has come."""
    due = run.due_ms()
    if run.journal.answered or (due is not None and due <= now_ms):
        return True
    return any(
        child is None or child.closed
        for child in (
            runs.get(step.child_run_id)
            for step in run.journal.steps.values()
            if step.kind == "agent" and step.order is None and step.child_run_id is not None
        )
    )


def durable_due_ms(runs: Runs, now_ms: int) -> int | None:
    """When a host must look at this user if this engine has gone: 0 is at once, None never."""
    due: int | None = None
    for run in runs.values():
        if run.closed:
            continue
        interrupted = run.parked is None or run.parked in INTERRUPTIONS
        if run.ending or interrupted or may_go_on(run, runs, now_ms):
            return 0
        run_due = run.due_ms()
        if run_due is not None and (due is None or run_due < due):
            due = run_due
    return due


def timer_ms(runs: Runs) -> int | None:
    """When this engine itself must look: the next expiry or end of a sleep."""
    return min((due for run in runs.values() if (due := _run_ms(run)) is not None), default=None)


def _run_ms(run: Run) -> int | None:
    if run.resume is not None or run.ending:
        return None
    if run.parked is not None:
        return run.due_ms()
    return min(
        (s.until_ms for s in run.journal.approvals.values() if s.until_ms is not None),
        default=None,
    )
