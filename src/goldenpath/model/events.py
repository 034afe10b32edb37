"""The closed set of events: what a user's clients are told. See docs/protocol.md."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from goldenpath.model.ids import ApprovalId, CallId, CommandId, MessageId, PartId, RunId

ToolStatus = Literal["ok", "error", "timed_out", "denied", "cancelled", "interrupted"]
RunOutcome = Literal["succeeded", "failed", "cancelled", "timed_out"]
ErrorCode = Literal[
    "agent_error",
    "empty_answer",
    "deadline_exceeded",
    "provider_unavailable",
    "nondeterministic",
    "code_changed",
    "crashed",
]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Base of the events' data."""


class RunError(msgspec.Struct, frozen=True, kw_only=True):
    """Why a run did not succeed; `message` is written for the end user."""

    code: str
    message: str
    retryable: bool = False


class MessageReceived(Event, frozen=True, kw_only=True):
    message_id: MessageId
    text: str
    attachments: list[str] = []
    command_id: CommandId


class RunQueued(Event, frozen=True, kw_only=True):
    reason: Literal["user_limit", "thread_busy", "host_limit"]
    position: int


class AgentStarted(Event, frozen=True, kw_only=True):
    agent: str
    version: str
    message_id: MessageId | None
    parent_run_id: RunId | None = None
    deadline_ms: int


class AgentResumed(Event, frozen=True, kw_only=True):
    attempt: int
    reason: Literal["crash", "shutdown", "approval", "sleep", "child", "handover"]


class AgentThinking(Event, frozen=True, kw_only=True):
    text: str
    step: str | None = None


class ToolExecuting(Event, frozen=True, kw_only=True):
    call_id: CallId
    tool: str
    arguments: dict[str, Any]


class ToolProgress(Event, frozen=True, kw_only=True):
    call_id: CallId
    text: str
    fraction: float | None = None


class ToolCompleted(Event, frozen=True, kw_only=True):
    call_id: CallId
    tool: str
    status: ToolStatus
    result: Any = None
    error: str | None = None
    duration_ms: int
    attempts: int


class AgentOutput(Event, frozen=True, kw_only=True):
    """A piece. `offset` counts Unicode code points of the part before this piece."""

    part_id: PartId
    offset: int
    text: str
    restart: bool = False


class ApprovalRequested(Event, frozen=True, kw_only=True):
    approval_id: ApprovalId
    call_id: CallId | None
    tool: str | None
    arguments: dict[str, Any]
    prompt: str | None = None
    """What the agent asks, where it asks by itself and not for a tool."""
    expires: str


class ApprovalResolved(Event, frozen=True, kw_only=True):
    approval_id: ApprovalId
    decision: Literal["approved", "denied", "expired", "cancelled"]
    reason: str | None = None


class AgentCompleted(Event, frozen=True, kw_only=True):
    status: RunOutcome
    output: str
    partial: bool
    error: RunError | None
    usage: dict[str, int | float]
    duration_ms: int


class ThreadCreated(Event, frozen=True, kw_only=True):
    title: str | None
    archived: bool = False


class ThreadUpdated(Event, frozen=True, kw_only=True):
    title: str | None
    archived: bool


class ThreadDeleted(Event, frozen=True, kw_only=True):
    title: None = None
    archived: bool = True


AnyEvent = (
    MessageReceived
    | RunQueued
    | AgentStarted
    | AgentResumed
    | AgentThinking
    | ToolExecuting
    | ToolProgress
    | ToolCompleted
    | AgentOutput
    | ApprovalRequested
    | ApprovalResolved
    | AgentCompleted
    | ThreadCreated
    | ThreadUpdated
    | ThreadDeleted
)

EVENT_TYPES: dict[str, type[Event]] = {
    "message_received": MessageReceived,
    "run_queued": RunQueued,
    "agent_started": AgentStarted,
    "agent_resumed": AgentResumed,
    "agent_thinking": AgentThinking,
    "tool_executing": ToolExecuting,
    "tool_progress": ToolProgress,
    "tool_completed": ToolCompleted,
    "agent_output": AgentOutput,
    "approval_requested": ApprovalRequested,
    "approval_resolved": ApprovalResolved,
    "agent_completed": AgentCompleted,
    "thread_created": ThreadCreated,
    "thread_updated": ThreadUpdated,
    "thread_deleted": ThreadDeleted,
}
"""Stable type names, as stored and sent."""
