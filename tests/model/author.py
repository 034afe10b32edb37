"""Writes random logs that keep every invariant, with its own book-keeping: it asks no grammar."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from goldenpath.model import events, journal
from goldenpath.model.entries import Body, Entry, format_time
from goldenpath.model.ids import (
    ApprovalId,
    CallId,
    CommandId,
    MessageId,
    PartId,
    RunId,
    Seq,
    ThreadId,
)
from goldenpath.model.journal import StepKey

WORDS = ["alpha ", "é", "😀 ", "\u0000", "日本", "x" * 40, "\n", '"\\', "e\u0301"]


@dataclass
class DraftTool:
    call_id: CallId
    key: StepKey
    tool: str
    attempt: int
    approval: tuple[ApprovalId, StepKey] | None = None
    decision: str | None = None


@dataclass
class Draft:
    """A run that is being written."""

    run_id: RunId
    thread_id: ThreadId
    message_id: MessageId | None
    parent: Draft | None
    agent: str
    depth: int
    stage: str = "opened"
    attempt: int = 0
    parts: dict[PartId, str] = field(default_factory=dict)
    tools: list[DraftTool] = field(default_factory=list)
    asks: list[tuple[ApprovalId, StepKey]] = field(default_factory=list)
    sleeps: list[StepKey] = field(default_factory=list)
    children: list[tuple[StepKey, Draft]] = field(default_factory=list)
    parked_for: str | None = None


class Author:
    """Appends whole legal moves to `log`; `finish_all` ends every run."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.log: list[Entry] = []
        self.threads: list[ThreadId] = []
        self.runs: dict[RunId, Draft] = {}
        self._time_ms = 1_767_323_045_678
        self._ids = 0

    def write(self, moves: int) -> list[Entry]:
        """Make that many moves, then end what is open."""
        for _ in range(moves):
            self.move()
        self.finish_all()
        return self.log

    def move(self) -> None:
        """Make one move of one run, or of the user."""
        if not self.runs or self.random.random() < 0.08:
            self.random.choice([self.send, self.send, self.send, self.threads_move])()
            return
        draft = self.random.choice(list(self.runs.values()))
        moves = {
            "opened": [self.start, self.start, self.start, self.queue, self.cancel, self.finish],
            "queued": [self.start, self.start, self.cancel, self.finish],
            "parked": [
                self.resume,
                self.resume,
                self.settle,
                self.settle,
                self.cancel,
                self.finish,
            ],
            "running": [
                self.think,
                self.output,
                self.output,
                self.restart,
                self.tool,
                self.tool,
                self.gated_tool,
                self.end_tool,
                self.end_tool,
                self.progress,
                self.ask,
                self.sleep,
                self.step,
                self.child,
                self.settle,
                self.settle,
                self.park,
                self.crash,
                self.cancel,
                self.finish,
            ],
        }[draft.stage]
        self.random.choice(moves)(draft)

    def finish_all(self) -> None:
        """End every open run."""
        while self.runs:
            self.finish(next(iter(self.runs.values())))

    # -- the user's moves ----------------------------------------------------------------------

    def send(self) -> None:
        command_id = CommandId(self._id("command"))
        if not self.threads or self.random.random() < 0.3:
            self.threads.append(ThreadId(self._id("thread")))
            self._add(self.threads[-1], None, events.ThreadCreated(title=self._text()))
        draft = Draft(
            run_id=RunId(self._id("run")),
            thread_id=self.random.choice(self.threads),
            message_id=MessageId(self._id("message")),
            parent=None,
            agent=self.random.choice(["analyst", "writer"]),
            depth=0,
        )
        self.runs[draft.run_id] = draft
        first = len(self.log) + 1
        assert draft.message_id is not None
        self.emit(
            draft,
            events.MessageReceived(
                message_id=draft.message_id, text=self._text(), command_id=command_id
            ),
            journal.RunOpened(agent=draft.agent, budget_ms=300_000, ahead=first % 5 == 0),
            journal.CommandSettled(
                command_id=command_id,
                body_hash="ab" * 32,
                kind="send",
                thread_id=draft.thread_id,
                message_id=draft.message_id,
                run_id=draft.run_id,
                seq=first,
            ),
        )

    def threads_move(self) -> None:
        idle = [t for t in self.threads if all(r.thread_id != t for r in self.runs.values())]
        command = CommandId(self._id("command"))
        if not idle:
            error = events.RunError(code="not_found", message="There is no such thread.")
            self._add(
                None,
                None,
                journal.CommandSettled(
                    command_id=command, body_hash="cd" * 32, kind="delete_thread", error=error
                ),
            )
            return
        thread_id = self.random.choice(idle)
        if self.random.random() < 0.5:
            self.threads.remove(thread_id)
            self._add(thread_id, None, events.ThreadDeleted())
        else:
            self._add(thread_id, None, events.ThreadUpdated(title=self._text(), archived=True))

    # -- moves of a run ------------------------------------------------------------------------

    def queue(self, draft: Draft) -> None:
        if draft.parent is None:
            draft.stage = "queued"
            self.emit(draft, events.RunQueued(reason="thread_busy", position=1))

    def start(self, draft: Draft) -> None:
        draft.stage, draft.attempt = "running", 1
        self.emit(
            draft,
            events.AgentStarted(
                agent=draft.agent,
                version="1",
                message_id=draft.message_id,
                parent_run_id=None if draft.parent is None else draft.parent.run_id,
                deadline_ms=300_000,
            ),
        )

    def crash(self, draft: Draft) -> None:
        draft.attempt += 1
        self.emit(draft, events.AgentResumed(attempt=draft.attempt, reason="crash"))

    def resume(self, draft: Draft) -> None:
        draft.attempt += 1
        draft.stage = "running"
        reason: object = draft.parked_for
        self.emit(draft, events.AgentResumed(attempt=draft.attempt, reason=reason))  # type: ignore[arg-type]

    def park(self, draft: Draft) -> None:
        if draft.asks or any(t.approval and t.decision is None for t in draft.tools):
            reason = "approval"
        elif draft.sleeps:
            reason = "sleep"
        else:
            reason = self.random.choice(["shutdown", "crash"])
        draft.stage, draft.parked_for = "parked", reason
        self.emit(draft, journal.RunParked(reason=reason, remaining_ms=self._left()))  # type: ignore[arg-type]

    def think(self, draft: Draft) -> None:
        self.emit(draft, events.AgentThinking(text=self._text(), step="reading"))

    def output(self, draft: Draft) -> None:
        part_ids = [*draft.parts, PartId(self._id("part"))]
        part_id, text = self.random.choice(part_ids), self._text()
        had = draft.parts.get(part_id, "")
        draft.parts[part_id] = had + text
        self.emit(draft, events.AgentOutput(part_id=part_id, offset=len(had), text=text))

    def restart(self, draft: Draft) -> None:
        if draft.parts:
            part_id = self.random.choice(list(draft.parts))
            draft.parts[part_id] = self.random.choice(["", self._text()])
            self.emit(
                draft,
                events.AgentOutput(
                    part_id=part_id, offset=0, text=draft.parts[part_id], restart=True
                ),
            )

    def tool(self, draft: Draft) -> None:
        tool = self._new_tool(draft, attempt=1)
        self.emit(draft, self._executing(tool), self._entered(tool))

    def gated_tool(self, draft: Draft) -> None:
        tool = self._new_tool(draft, attempt=0)
        approval_id = ApprovalId(self._id("approval"))
        tool.approval = (approval_id, self._key(f"approval:{tool.call_id}"))
        self.emit(
            draft,
            self._executing(tool),
            self._entered(tool),
            *self._request(approval_id, tool.approval[1], tool),
        )

    def progress(self, draft: Draft) -> None:
        if draft.tools:
            call_id = self.random.choice(draft.tools).call_id
            self.emit(draft, events.ToolProgress(call_id=call_id, text="so far", fraction=0.5))

    def end_tool(self, draft: Draft) -> None:
        """One move of a tool: its retry, or its end."""
        ready = [t for t in draft.tools if t.approval is None or t.decision is not None]
        if not ready:
            return
        tool = self.random.choice(ready)
        if tool.decision not in (None, "approved"):
            self.close_tool(draft, tool, "denied")
        elif tool.attempt == 0 or (tool.attempt < 3 and self.random.random() < 0.3):
            tool.attempt += 1
            self.emit(draft, self._entered(tool))
        else:
            self.close_tool(draft, tool, self.random.choice(["ok", "ok", "error", "timed_out"]))

    def close_tool(self, draft: Draft, tool: DraftTool, status: str) -> None:
        draft.tools.remove(tool)
        failed = None if status == "ok" else status
        self.emit(
            draft,
            journal.StepCompleted(
                key=tool.key,
                value={"rows": [1, 2.5, None, "é"]} if failed is None else None,
                failed_status=failed,
                failed_message=failed,
                remaining_ms=self._left(),
            ),
            events.ToolCompleted(
                call_id=tool.call_id,
                tool=tool.tool,
                status=status,  # type: ignore[arg-type]
                result=[1] if failed is None else None,
                error=failed,
                duration_ms=3,
                attempts=tool.attempt,
            ),
        )

    def ask(self, draft: Draft) -> None:
        approval_id, key = ApprovalId(self._id("approval")), self._key("approve")
        draft.asks.append((approval_id, key))
        self.emit(draft, *self._request(approval_id, key, None))

    def sleep(self, draft: Draft) -> None:
        key = self._key("sleep")
        draft.sleeps.append(key)
        self.emit(
            draft,
            journal.StepStarted(
                key=key, kind="sleep", until_ms=self._time_ms + 5_000, remaining_ms=self._left()
            ),
        )

    def step(self, draft: Draft) -> None:
        key, left = self._key("step now"), self._left()
        self.emit(
            draft,
            journal.StepStarted(key=key, kind="step", remaining_ms=left),
            journal.StepCompleted(key=key, value=0.1, remaining_ms=left),
        )

    def child(self, draft: Draft) -> None:
        if draft.depth >= 3 or len(draft.children) >= 3:
            return
        key, run_id = self._key("agent writer"), RunId(self._id("run"))
        child = Draft(run_id, draft.thread_id, None, draft, "writer", draft.depth + 1)
        draft.children.append((key, child))
        self.emit(
            draft,
            journal.StepStarted(
                key=key, kind="agent", child_run_id=run_id, remaining_ms=self._left()
            ),
        )
        self.runs[run_id] = child
        self.emit(
            child,
            journal.RunOpened(
                agent=child.agent,
                budget_ms=60_000,
                depth=child.depth,
                input=self._text(),
                parent_run_id=draft.run_id,
                parent_step=key,
            ),
        )
        self.start(child)

    def settle(self, draft: Draft) -> None:
        """Something that the run waits for comes."""
        for tool in draft.tools:
            if tool.approval is not None and tool.decision is None:
                tool.decision = self.random.choice(["approved", "approved", "denied", "expired"])
                self._resolve(draft, *tool.approval, tool.decision)
                return
        if draft.asks:
            self._resolve(draft, *draft.asks.pop(), "approved")
        elif draft.sleeps:
            self._completed(draft, draft.sleeps.pop(), None)
        else:
            for key, child in list(draft.children):
                if child.run_id not in self.runs:
                    draft.children.remove((key, child))
                    self._completed(draft, key, "answer")
                    return

    def cancel(self, draft: Draft) -> None:
        self.emit(draft, journal.CancelRequested(reason="user"))

    def finish(self, draft: Draft) -> None:
        for _, child in draft.children:
            if child.run_id in self.runs:
                self.finish(child)
        for approval_id, key in draft.asks:
            self._resolve(draft, approval_id, key, "cancelled")
        for tool in list(draft.tools):
            if tool.approval is not None and tool.decision is None:
                self._resolve(draft, *tool.approval, "cancelled")
            self.close_tool(draft, tool, "cancelled")
        answer = "".join(draft.parts.values())
        status = self.random.choice(["succeeded", "succeeded", "failed", "cancelled", "timed_out"])
        if status == "succeeded" and (draft.stage != "running" or not answer.strip()):
            status = "failed"
        if status == "failed" and draft.stage in ("running", "parked"):
            self.emit(draft, journal.RunFailure(detail="Traceback: 日本"))
        error = events.RunError(code="agent_error", message="It failed.", retryable=True)
        del self.runs[draft.run_id]
        self.emit(
            draft,
            events.AgentCompleted(
                status=status,  # type: ignore[arg-type]
                output=answer,
                partial=status != "succeeded" and bool(answer),
                error=error if status == "failed" else None,
                usage={"tokens": 12, "cost": 0.25},
                duration_ms=120,
            ),
        )

    # -- words ---------------------------------------------------------------------------------

    def emit(self, draft: Draft, *bodies: Body) -> None:
        for body in bodies:
            self._add(draft.thread_id, draft.run_id, body)

    def _add(self, thread_id: ThreadId | None, run_id: RunId | None, body: Body) -> None:
        self._time_ms += self.random.randrange(3)
        self.log.append(Entry(Seq(len(self.log) + 1), self._time_ms, thread_id, run_id, body))

    def _id(self, kind: str) -> str:
        self._ids += 1
        return f"{kind}-{self._ids}"

    def _key(self, name: str) -> StepKey:
        self._ids += 1
        return StepKey(self.random.choice(["", "0", "0.1"]), name, "f00d", self._ids)

    def _text(self) -> str:
        return "".join(self.random.choices(WORDS, k=self.random.randrange(1, 4)))

    def _left(self) -> int:
        return self.random.randrange(300_000)

    def _new_tool(self, draft: Draft, attempt: int) -> DraftTool:
        name = self.random.choice(["lookup", "charge"])
        tool = DraftTool(CallId(self._id("call")), self._key(name), name, attempt)
        draft.tools.append(tool)
        return tool

    def _executing(self, tool: DraftTool) -> events.ToolExecuting:
        return events.ToolExecuting(
            call_id=tool.call_id, tool=tool.tool, arguments={"query": self._text()}
        )

    def _entered(self, tool: DraftTool) -> journal.StepStarted:
        return journal.StepStarted(
            key=tool.key,
            kind="tool",
            call_id=tool.call_id,
            attempt=tool.attempt,
            remaining_ms=self._left(),
        )

    def _request(
        self, approval_id: ApprovalId, key: StepKey, tool: DraftTool | None
    ) -> tuple[Body, Body]:
        until_ms = self._time_ms + 600_000
        return (
            events.ApprovalRequested(
                approval_id=approval_id,
                call_id=None if tool is None else tool.call_id,
                tool=None if tool is None else tool.tool,
                arguments={},
                prompt="May I?" if tool is None else None,
                expires=format_time(until_ms),
            ),
            journal.StepStarted(
                key=key,
                kind="approval",
                approval_id=approval_id,
                until_ms=until_ms,
                remaining_ms=self._left(),
            ),
        )

    def _resolve(self, draft: Draft, approval_id: ApprovalId, key: StepKey, decision: str) -> None:
        resolved = events.ApprovalResolved(approval_id=approval_id, decision=decision)  # type: ignore[arg-type]
        self.emit(draft, resolved)
        self._completed(draft, key, {"decision": decision})

    def _completed(self, draft: Draft, key: StepKey, value: object) -> None:
        self.emit(draft, journal.StepCompleted(key=key, value=value, remaining_ms=self._left()))


def a_log(seed: int, moves: int = 40) -> list[Entry]:
    """The log of a seed: the same for ever."""
    return Author(Random(seed)).write(moves)
