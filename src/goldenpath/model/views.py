"""Rows of the projections: what lists, histories and single look-ups show."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from goldenpath.model.events import RunError
from goldenpath.model.ids import ApprovalId, CallId, MessageId, PartId, RunId, ThreadId
from goldenpath.model.journal import StepKey

RunStatus = Literal[
    "waiting", "running", "resuming", "succeeded", "failed", "cancelled", "timed_out"
]
"""`waiting` until it begins; `resuming` from a `run_parked` for a shutdown or a crash to its
`agent_resumed`; `running` at all other times until its end, also while parked for something else.
A run whose process died stays `running` until an engine takes it up, or says that it must wait."""


class ThreadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A thread. `agent` is that of its newest message; times are Unix milliseconds."""

    thread_id: ThreadId
    title: str | None
    archived: bool
    agent: str | None
    created_ms: int
    created_seq: int


class Timer(msgspec.Struct, frozen=True):
    """A sleep's end or an approval's expiry that an open step waits for (Unix milliseconds)."""

    key: StepKey
    until_ms: int


class RunRow(msgspec.Struct, frozen=True, kw_only=True):
    """A run with its question and its answer: also the source of a thread's history.

    `first_seq` is the run's first entry and `last_seq` its terminal's (null while open).
    `parked` is the reason of the `run_parked` after which an open run has not gone on, `attempts`
    counts activations that ran its code, `deaths` those that ended uncleanly. `timers` are those of
    open steps; `due_ms` is the earliest of them while the run is parked.
    """

    run_id: RunId
    thread_id: ThreadId
    message_id: MessageId | None
    parent_run_id: RunId | None
    agent: str
    version: str | None
    text: str
    status: RunStatus
    parked: str | None
    cancel_requested: bool
    attempts: int
    deaths: int
    budget_ms: int
    remaining_ms: int
    depth: int
    ahead: bool = False
    """Runs before the other waiting ones of its thread (`when_busy` = interrupt)."""
    timers: tuple[Timer, ...] = ()
    due_ms: int | None
    output: str | None
    partial: bool
    error: RunError | None
    usage: dict[str, int | float]
    queued_ms: int
    started_ms: int | None
    ended_ms: int | None
    first_seq: int
    last_seq: int | None

    @property
    def open(self) -> bool:
        """True until the run's `agent_completed`."""
        return self.last_seq is None


class ApprovalRow(msgspec.Struct, frozen=True, kw_only=True):
    """An approval; `decision` is null while it is open."""

    approval_id: ApprovalId
    run_id: RunId
    call_id: CallId | None
    tool: str | None
    arguments: dict[str, Any]
    expires_ms: int
    decision: str | None
    requested_seq: int


class OpenPart(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an open run's answer as far as it is written."""

    part_id: PartId
    text: str


class OpenTool(msgspec.Struct, frozen=True, kw_only=True):
    """A tool of an open run that has not ended."""

    call_id: CallId
    tool: str
    arguments: dict[str, Any]
