"""Bodies of HTTP requests and answers; OpenAPI is generated from them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from goldenpath.model.commands import Receipt, WhenBusy
from goldenpath.model.entries import format_time
from goldenpath.model.events import RunError
from goldenpath.model.views import ApprovalRow, RunRow, RunStatus, ThreadRow
from goldenpath.store.interface import OpenRun
from goldenpath.wire.frames import AgentInfo, ClientId, Cursor


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of request bodies: unknown fields are refused."""


class SendBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    text: str
    agent: str | None = None
    when_busy: WhenBusy = "queue"
    attachments: list[str] = []


class ThreadBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str | None = None


class ThreadPatch(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    title: str | None = None
    archived: bool | None = None


class DecideBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    decision: Literal["approve", "deny"]
    reason: str | None = None


class AckBody(Body, frozen=True, kw_only=True, forbid_unknown_fields=True):
    device: ClientId
    mark: Annotated[str, msgspec.Meta(max_length=64)]
    cursor: Cursor


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Base of answers."""


class AcceptedBody(Shape, frozen=True, kw_only=True):
    id: str
    thread_id: str | None
    message_id: str | None
    run_id: str | None
    seq: int | None
    duplicate: bool

    @classmethod
    def of(cls, receipt: Receipt, duplicate: bool) -> AcceptedBody:
        return cls(
            id=receipt.command_id,
            thread_id=receipt.thread_id,
            message_id=receipt.message_id,
            run_id=receipt.run_id,
            seq=receipt.seq,
            duplicate=duplicate,
        )


class Me(Shape, frozen=True, kw_only=True):
    user_id: str
    roles: list[str]
    limits: dict[str, int | float]
    usage: dict[str, int]
    head: int
    mark: str


class Agents(Shape, frozen=True, kw_only=True):
    items: list[AgentInfo]


class Thread(Shape, frozen=True, kw_only=True):
    thread_id: str
    title: str | None
    archived: bool
    agent: str | None
    created: str

    @classmethod
    def of(cls, row: ThreadRow) -> Thread:
        return cls(
            thread_id=row.thread_id,
            title=row.title,
            archived=row.archived,
            agent=row.agent,
            created=format_time(row.created_ms),
        )


class Threads(Shape, frozen=True, kw_only=True):
    items: list[Thread]
    next: str | None


class HistoryMessage(Shape, frozen=True, kw_only=True):
    message_id: str
    role: Literal["user", "assistant"]
    text: str
    time: str
    run_id: str
    status: RunStatus


def message_id(run: RunRow, role: str) -> str:
    """An answer's message id is its run's id."""
    return run.run_id if role == "assistant" or run.message_id is None else run.message_id


def messages_of(run: RunRow) -> list[HistoryMessage]:
    """A run's question, and its answer once it ended."""
    question = HistoryMessage(
        message_id=message_id(run, "user"),
        role="user",
        text=run.text,
        time=format_time(run.queued_ms),
        run_id=run.run_id,
        status=run.status,
    )
    if run.ended_ms is None:
        return [question]
    answer = HistoryMessage(
        message_id=message_id(run, "assistant"),
        role="assistant",
        text=run.output or "",
        time=format_time(run.ended_ms),
        run_id=run.run_id,
        status=run.status,
    )
    return [question, answer]


class HistoryPart(Shape, frozen=True, kw_only=True):
    part_id: str
    text: str


class HistoryTool(Shape, frozen=True, kw_only=True):
    call_id: str
    tool: str
    arguments: dict[str, Any]


class HistoryApproval(Shape, frozen=True, kw_only=True):
    approval_id: str
    call_id: str | None
    tool: str | None
    arguments: dict[str, Any]
    expires: str

    @classmethod
    def of(cls, row: ApprovalRow) -> HistoryApproval:
        return cls(
            approval_id=row.approval_id,
            call_id=row.call_id,
            tool=row.tool,
            arguments=row.arguments,
            expires=format_time(row.expires_ms),
        )


class HistoryRun(Shape, frozen=True, kw_only=True):
    run_id: str
    parent_run_id: str | None
    agent: str
    status: RunStatus
    parts: list[HistoryPart]
    tools: list[HistoryTool]
    approvals: list[HistoryApproval]

    @classmethod
    def of(cls, open_run: OpenRun) -> HistoryRun:
        run = open_run.run
        return cls(
            run_id=run.run_id,
            parent_run_id=run.parent_run_id,
            agent=run.agent,
            status=run.status,
            parts=[HistoryPart(part_id=p.part_id, text=p.text) for p in open_run.parts],
            tools=[
                HistoryTool(call_id=t.call_id, tool=t.tool, arguments=t.arguments)
                for t in open_run.tools
            ],
            approvals=[HistoryApproval.of(a) for a in open_run.approvals],
        )


class Messages(Shape, frozen=True, kw_only=True):
    items: list[HistoryMessage]
    next: str | None
    as_of: int
    mark: str
    open_runs: list[HistoryRun]


class RunTimes(Shape, frozen=True, kw_only=True):
    queued: str
    started: str | None
    ended: str | None


class RunBody(Shape, frozen=True, kw_only=True):
    run_id: str
    thread_id: str
    parent_run_id: str | None
    agent: str
    status: RunStatus
    output: str | None
    partial: bool
    error: RunError | None
    usage: dict[str, int | float]
    times: RunTimes

    @classmethod
    def of(cls, row: RunRow) -> RunBody:
        return cls(
            run_id=row.run_id,
            thread_id=row.thread_id,
            parent_run_id=row.parent_run_id,
            agent=row.agent,
            status=row.status,
            output=row.output,
            partial=row.partial,
            error=row.error,
            usage=row.usage,
            times=RunTimes(
                queued=format_time(row.queued_ms),
                started=None if row.started_ms is None else format_time(row.started_ms),
                ended=None if row.ended_ms is None else format_time(row.ended_ms),
            ),
        )


class RunEvents(Shape, frozen=True, kw_only=True):
    items: list[msgspec.Raw]
    next: str | None


class SearchHit(Shape, frozen=True, kw_only=True):
    thread_id: str
    message_id: str
    run_id: str
    role: Literal["user", "assistant"]
    snippet: str


class SearchHits(Shape, frozen=True, kw_only=True):
    items: list[SearchHit]


class Problem(Shape, frozen=True, kw_only=True):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    message: str
    retryable: bool
