"""An open run as its engine holds it, and the one way in which a run ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from goldenpath.engine.journal import Journal
from goldenpath.model import events
from goldenpath.model.entries import Body, Entry
from goldenpath.model.ids import ApprovalId, MessageId, RunId, ThreadId
from goldenpath.model.journal import StepCompleted, StepKey
from goldenpath.model.views import RunRow

if TYPE_CHECKING:
    from goldenpath.engine.execution import Execution


@dataclass(slots=True, eq=False)
class Run:
    """One open run. `execution` is there while its code is in memory."""

    run_id: RunId
    thread_id: ThreadId
    message_id: MessageId | None
    parent_run_id: RunId | None
    agent: str
    version: str | None
    text: str
    remaining_ms: int
    depth: int
    ahead: bool
    first_seq: int
    started_ms: int | None = None
    attempts: int = 0
    deaths: int = 0
    cancelled: str | None = None
    parked: str | None = None
    resume: str | None = None
    """Why it is to be taken up again as soon as it may; None while nothing is to be done."""
    ending: bool = False
    """It is decided that it ends; nothing begins or takes it up any more."""
    closed: bool = False
    """Its terminal was added to the outbox: it makes no more demand."""
    slot: bool = False
    """It counts among the user's and the host's active runs."""
    journal: Journal = field(default_factory=Journal)
    execution: Execution | None = None
    decisions: dict[ApprovalId, asyncio.Future[None]] = field(default_factory=lambda: {})
    ended: asyncio.Future[events.AgentCompleted] | None = None
    """For a parent that waits in memory for this child."""

    @classmethod
    def of(cls, row: RunRow) -> Run:
        """The run that a stored row tells of."""
        return cls(
            run_id=row.run_id,
            thread_id=row.thread_id,
            message_id=row.message_id,
            parent_run_id=row.parent_run_id,
            agent=row.agent,
            version=row.version,
            text=row.text,
            remaining_ms=row.remaining_ms,
            depth=row.depth,
            ahead=row.ahead,
            first_seq=row.first_seq,
            started_ms=row.started_ms,
            attempts=row.attempts,
            deaths=row.deaths,
            cancelled="user" if row.cancel_requested else None,
            parked=row.parked,
        )

    @property
    def root(self) -> bool:
        return self.parent_run_id is None

    @property
    def started(self) -> bool:
        return self.attempts > 0

    @property
    def order(self) -> tuple[bool, int]:
        """Waiting runs begin in this order."""
        return (not self.ahead, self.first_seq)

    def due_ms(self) -> int | None:
        """When a parked run wants to go on by itself (a sleep's end, an approval's expiry)."""
        open_steps = (s for s in self.journal.steps.values() if s.order is None)
        return min((s.until_ms for s in open_steps if s.until_ms is not None), default=None)

    def fold(self, entries: Sequence[Entry]) -> None:
        """Keep the journal as the log is."""
        self.journal.record_all(entries)


def closing(
    run: Run,
    status: events.RunOutcome,
    error: events.RunError | None,
    *,
    now_ms: int,
    remaining_ms: int,
    usage: dict[str, int | float],
    calls_end: events.ToolStatus | None = None,
) -> Iterator[Body]:
    """The entries that end a run: its open approvals, its open calls, its terminal."""
    journal = run.journal
    calls_status = calls_end or _CALLS_END[status]
    for approval_id, step in list(journal.approvals.items()):
        yield events.ApprovalResolved(approval_id=approval_id, decision="cancelled")
        yield _failed(step.key, "cancelled", remaining_ms)
    for step in list(journal.steps.values()):
        if step.call_id in journal.calls and step.kind == "tool" and step.order is None:
            yield _failed(step.key, calls_status, remaining_ms)
    for call in list(journal.calls.values()):
        yield events.ToolCompleted(
            call_id=call.call_id,
            tool=call.tool,
            status=calls_status,
            error=_CALL_TEXTS.get(calls_status),
            duration_ms=0,
            attempts=max(
                (s.attempts for s in journal.steps.values() if s.call_id == call.call_id), default=0
            ),
        )
    text = journal.text
    yield events.AgentCompleted(
        status=status,
        output=text,
        partial=status != "succeeded" and bool(text),
        error=error,
        usage=usage,
        duration_ms=0 if run.started_ms is None else max(now_ms - run.started_ms, 0),
    )


_CALLS_END: dict[events.RunOutcome, events.ToolStatus] = {
    "succeeded": "cancelled",
    "failed": "cancelled",
    "cancelled": "cancelled",
    "timed_out": "timed_out",
}
_CALL_TEXTS: dict[events.ToolStatus, str] = {
    "cancelled": "The run ended before this tool did.",
    "timed_out": "The run's time was up before this tool ended.",
    "interrupted": "It is not known whether this tool ran: the process died while it did.",
}


def _failed(key: StepKey, status: str, remaining_ms: int) -> StepCompleted:
    return StepCompleted(
        key=key, failed_status=status, failed_message=status, remaining_ms=remaining_ms
    )
