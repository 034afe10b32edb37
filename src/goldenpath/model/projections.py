"""Projections: rows that are a pure fold of the log. Stores write them, `check` recomputes them.

Entries that were pruned or erased take no part: they cannot be decoded, so they do not come here.
An entry whose row is missing (an earlier entry of its run or thread was erased) changes nothing.
The fold needs no more than the rows that `keys` names, so that it can go on from stored rows at
any entry: folding a log in pieces, with the rows written and read between, gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from goldenpath.model import events, journal
from goldenpath.model.commands import Receipt, receipt_of
from goldenpath.model.entries import Entry, parse_time
from goldenpath.model.events import AgentOutput, ToolCompleted, ToolExecuting
from goldenpath.model.ids import (
    ApprovalId,
    CallId,
    CommandId,
    MessageId,
    PartId,
    RunId,
    ThreadId,
)
from goldenpath.model.views import ApprovalRow, OpenPart, OpenTool, RunRow, ThreadRow, Timer

PROJECTING: frozenset[str] = frozenset(
    {
        "message_received",
        "run_opened",
        "agent_started",
        "agent_resumed",
        "agent_completed",
        "approval_requested",
        "approval_resolved",
        "thread_created",
        "thread_updated",
        "thread_deleted",
        "command_settled",
        "cancel_requested",
        "step_started",
        "step_completed",
        "run_parked",
    }
)
"""Type names that `apply` looks at; a store need not decode the others."""


class Touched(NamedTuple):
    """Keys of the rows that `apply` of an entry reads or writes."""

    thread_id: ThreadId | None
    run_id: RunId | None
    approval_id: ApprovalId | None
    command_id: CommandId | None


class Rows:
    """The rows of one user, or those of them that are needed. `apply` changes it in place."""

    def __init__(self) -> None:
        self.threads: dict[ThreadId, ThreadRow] = {}
        self.runs: dict[RunId, RunRow] = {}
        self.approvals: dict[ApprovalId, ApprovalRow] = {}
        self.receipts: dict[CommandId, Receipt] = {}


def keys(entry: Entry) -> Touched:
    """The rows that `apply` reads or writes for this entry, None where there is no such row.

    `thread_deleted` touches more: all runs of its thread, their approvals, and its receipts.
    """
    body = entry.body
    approval_id = (
        body.approval_id
        if isinstance(body, events.ApprovalRequested | events.ApprovalResolved)
        else None
    )
    command_id = body.command_id if isinstance(body, journal.CommandSettled) else None
    return Touched(entry.thread_id, entry.run_id, approval_id, command_id)


def apply(rows: Rows, entry: Entry) -> None:
    """Fold one entry into the rows."""
    body, run_id, thread_id = entry.body, entry.run_id, entry.thread_id
    match body:
        case events.MessageReceived():
            assert run_id is not None and thread_id is not None
            rows.runs[run_id] = _new_run(entry, body.text, body.message_id)
        case journal.RunOpened():
            _opened(rows, entry, body)
        case journal.CommandSettled():
            rows.receipts[body.command_id] = receipt_of(body)
        case events.ThreadCreated():
            assert thread_id is not None
            rows.threads[thread_id] = ThreadRow(
                thread_id=thread_id,
                title=body.title,
                archived=body.archived,
                agent=None,
                created_ms=entry.time_ms,
                created_seq=entry.seq,
            )
        case events.ThreadUpdated():
            if thread_id is not None and thread_id in rows.threads:
                rows.threads[thread_id] = replace(
                    rows.threads[thread_id], title=body.title, archived=body.archived
                )
        case events.ThreadDeleted():
            _deleted(rows, thread_id)
        case events.ApprovalRequested():
            assert run_id is not None
            rows.approvals[body.approval_id] = ApprovalRow(
                approval_id=body.approval_id,
                run_id=run_id,
                call_id=body.call_id,
                tool=body.tool,
                arguments=body.arguments,
                expires_ms=parse_time(body.expires),
                decision=None,
                requested_seq=entry.seq,
            )
        case events.ApprovalResolved():
            if body.approval_id in rows.approvals:
                rows.approvals[body.approval_id] = replace(
                    rows.approvals[body.approval_id], decision=body.decision
                )
        case _:
            if run_id is not None and run_id in rows.runs:
                rows.runs[run_id] = _run(rows.runs[run_id], entry)


def _new_run(entry: Entry, text: str, message_id: MessageId | None) -> RunRow:
    assert entry.run_id is not None and entry.thread_id is not None
    return RunRow(
        run_id=entry.run_id,
        thread_id=entry.thread_id,
        message_id=message_id,
        parent_run_id=None,
        agent="",
        version=None,
        text=text,
        status="waiting",
        parked=None,
        cancel_requested=False,
        attempts=0,
        deaths=0,
        budget_ms=0,
        remaining_ms=0,
        depth=0,
        due_ms=None,
        output=None,
        partial=False,
        error=None,
        usage={},
        queued_ms=entry.time_ms,
        started_ms=None,
        ended_ms=None,
        first_seq=entry.seq,
        last_seq=None,
    )


def _opened(rows: Rows, entry: Entry, body: journal.RunOpened) -> None:
    assert entry.run_id is not None
    row = rows.runs.get(entry.run_id)
    if row is None:
        if body.parent_run_id is None:
            return
        row = _new_run(entry, body.input or "", None)
    elif entry.thread_id is not None and entry.thread_id in rows.threads:
        rows.threads[entry.thread_id] = replace(rows.threads[entry.thread_id], agent=body.agent)
    rows.runs[entry.run_id] = replace(
        row,
        agent=body.agent,
        budget_ms=body.budget_ms,
        remaining_ms=body.budget_ms,
        depth=body.depth,
        ahead=body.ahead,
        parent_run_id=body.parent_run_id,
    )


def _deleted(rows: Rows, thread_id: ThreadId | None) -> None:
    if thread_id is None:
        return
    gone = {run_id for run_id, row in rows.runs.items() if row.thread_id == thread_id}
    for run_id in gone:
        del rows.runs[run_id]
    for approval_id in [k for k, row in rows.approvals.items() if row.run_id in gone]:
        del rows.approvals[approval_id]
    rows.threads.pop(thread_id, None)
    for command_id, receipt in rows.receipts.items():
        if receipt.thread_id == thread_id:
            rows.receipts[command_id] = replace(receipt, body_hash=None)


def _run(row: RunRow, entry: Entry) -> RunRow:
    body = entry.body
    match body:
        case journal.StepStarted():
            timers = row.timers
            if body.until_ms is not None:
                timers = (*timers, Timer(body.key, body.until_ms))
            return replace(row, remaining_ms=body.remaining_ms, timers=timers)
        case journal.StepCompleted():
            timers = row.timers and tuple(t for t in row.timers if t.key != body.key)
            due = None if row.parked is None else _earliest(timers)
            return replace(row, remaining_ms=body.remaining_ms, timers=timers, due_ms=due)
        case events.AgentStarted():
            return replace(
                row,
                version=body.version,
                status="running",
                attempts=1,
                started_ms=entry.time_ms,
            )
        case events.AgentResumed():
            return replace(
                row,
                status="running",
                attempts=body.attempt,
                parked=None,
                due_ms=None,
                deaths=row.deaths + (body.reason == "crash"),
            )
        case events.AgentCompleted():
            return replace(
                row,
                status=body.status,
                parked=None,
                timers=(),
                due_ms=None,
                output=body.output,
                partial=body.partial,
                error=body.error,
                usage=body.usage,
                ended_ms=entry.time_ms,
                last_seq=entry.seq,
            )
        case journal.CancelRequested():
            return replace(row, cancel_requested=True)
        case journal.RunParked():
            return replace(
                row,
                status="resuming" if body.reason in journal.INTERRUPTIONS else "running",
                parked=body.reason,
                remaining_ms=body.remaining_ms,
                due_ms=_earliest(row.timers),
            )
        case _:
            return row


def _earliest(timers: Sequence[Timer]) -> int | None:
    return min((timer.until_ms for timer in timers), default=None)


class AnswerText:
    """The parts of an answer, folded from its pieces; ordered by their first piece.

    A piece costs the same however long the answer is already.
    """

    __slots__ = ("_lengths", "_pieces")

    def __init__(self) -> None:
        self._pieces: dict[PartId, list[str]] = {}
        self._lengths: dict[PartId, int] = {}

    def apply(self, piece: AgentOutput) -> None:
        """Add a piece; `restart` drops what its part had."""
        pieces = self._pieces.setdefault(piece.part_id, [])
        if piece.restart:
            pieces.clear()
            self._lengths[piece.part_id] = 0
        pieces.append(piece.text)
        self._lengths[piece.part_id] = self.length(piece.part_id) + len(piece.text)

    def length(self, part_id: PartId) -> int:
        """Code points of a part so far; 0 for a part that is not known."""
        return self._lengths.get(part_id, 0)

    @property
    def text(self) -> str:
        """All parts joined: the answer."""
        return "".join(piece for pieces in self._pieces.values() for piece in pieces)

    @property
    def parts(self) -> list[OpenPart]:
        """The parts so far, also those that a restart left empty."""
        return [
            OpenPart(part_id=part_id, text="".join(pieces))
            for part_id, pieces in self._pieces.items()
        ]


SHOWN: frozenset[str] = frozenset({"agent_output", "tool_executing", "tool_completed"})
"""Types of the entries that `open_run_view` reads."""


def open_run_view(entries: Iterable[Entry]) -> tuple[list[OpenPart], list[OpenTool]]:
    """What a client needs to show of one open run: its parts so far, its open tools.

    `entries` are that run's, in order; what is neither a piece nor a tool's event is skipped.
    """
    answer = AnswerText()
    tools: dict[CallId, OpenTool] = {}
    for entry in entries:
        match entry.body:
            case AgentOutput() as piece:
                answer.apply(piece)
            case ToolExecuting() as call:
                tools[call.call_id] = OpenTool(
                    call_id=call.call_id, tool=call.tool, arguments=call.arguments
                )
            case ToolCompleted() as call:
                tools.pop(call.call_id, None)
            case _:
                pass
    return answer.parts, list(tools.values())
