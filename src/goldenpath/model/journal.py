"""Journal entries: internal, never sent to a client; they hold exact values and are guarded so."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from goldenpath.model.events import RunError
from goldenpath.model.ids import ApprovalId, CallId, CommandId, MessageId, RunId, ThreadId


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the journal's records."""


class StepKey(msgspec.Struct, frozen=True):
    """A step's identity: scope path, name, hash of its arguments, occurrence among equals."""

    scope: str
    name: str
    arguments: str
    occurrence: int


class CommandSettled(Record, frozen=True, kw_only=True):
    """What a command led to: the source of its receipt. `body_hash` is null once erased."""

    command_id: CommandId
    body_hash: str | None
    kind: Literal[
        "send", "cancel", "decide", "create_thread", "update_thread", "delete_thread", "forget"
    ]
    thread_id: ThreadId | None = None
    message_id: MessageId | None = None
    run_id: RunId | None = None
    seq: int | None = None
    """The command's first entry; null when it was refused."""
    error: RunError | None = None


class RunOpened(Record, frozen=True, kw_only=True):
    """Internal facts of a new run, beside `message_received` or the parent's call."""

    agent: str
    budget_ms: int
    depth: int = 0
    ahead: bool = False
    """Runs before the other waiting ones of its thread (`when_busy` = interrupt)."""
    input: str | None = None
    """A child's input; null for a root, whose input is the message."""
    parent_run_id: RunId | None = None
    parent_step: StepKey | None = None


class CancelRequested(Record, frozen=True, kw_only=True):
    reason: Literal["user", "interrupt", "parent", "erasure", "shutdown"]


class StepStarted(Record, frozen=True, kw_only=True):
    """A step that was entered. For a tool it stands right before each call of the body."""

    key: StepKey
    kind: Literal["tool", "step", "agent", "approval", "sleep"]
    call_id: CallId | None = None
    approval_id: ApprovalId | None = None
    child_run_id: RunId | None = None
    until_ms: int | None = None
    """Unix milliseconds at which a sleep or an approval's expiry is due."""
    attempt: int = 0
    """Number of the body's call, from 1; 0 while the body was not called yet."""
    remaining_ms: int


class StepCompleted(Record, frozen=True, kw_only=True):
    """A step's end with its exact outcome: `value`, or `failed` {status, message}."""

    key: StepKey
    value: Any = None
    failed_status: str | None = None
    failed_message: str | None = None
    detail: str | None = None
    """Exception text and stack, for operators only."""
    remaining_ms: int


class RunParked(Record, frozen=True, kw_only=True):
    """The run holds no memory and no slot until it is due, decided or taken up again."""

    reason: Literal["approval", "sleep", "child", "shutdown", "crash"]
    """`crash` is written by the next engine, for a run that has to wait until it goes on."""
    remaining_ms: int


INTERRUPTIONS: frozenset[str] = frozenset({"shutdown", "crash"})
"""Reasons of `run_parked` for which the run waits for nothing but its next engine."""


class RunFailure(Record, frozen=True, kw_only=True):
    """The exception behind a failed run, for operators only."""

    detail: str


AnyRecord = (
    CommandSettled
    | RunOpened
    | CancelRequested
    | StepStarted
    | StepCompleted
    | RunParked
    | RunFailure
)

RECORD_TYPES: dict[str, type[Record]] = {
    "command_settled": CommandSettled,
    "run_opened": RunOpened,
    "cancel_requested": CancelRequested,
    "step_started": StepStarted,
    "step_completed": StepCompleted,
    "run_parked": RunParked,
    "run_failure": RunFailure,
}
"""Stable type names, as stored."""
