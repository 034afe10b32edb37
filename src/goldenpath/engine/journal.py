"""What a run did so far, and its replay: steps by identity, completions in their recorded order.

A run's code is run again from the start after a crash or a long wait. Whatever it asks that is
recorded here is answered from here; what is not recorded is done and recorded. The journal finds
out when the code asks for something else than before (`NondeterminismError`).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from goldenpath.errors import NondeterminismError
from goldenpath.model import events, journal
from goldenpath.model.entries import Entry
from goldenpath.model.ids import ApprovalId, CallId, PartId, RunId
from goldenpath.model.journal import StepKey


@dataclass(slots=True)
class Step:
    """One recorded step. `order` is its place among the completions, None while it is open."""

    key: StepKey
    kind: str
    call_id: CallId | None = None
    approval_id: ApprovalId | None = None
    child_run_id: RunId | None = None
    until_ms: int | None = None
    attempts: int = 0
    order: int | None = None
    value: Any = None
    failed_status: str | None = None
    failed_message: str | None = None


@dataclass(slots=True)
class Part:
    """Pieces that belong together; `length` counts code points."""

    part_id: PartId
    pieces: list[str] = field(default_factory=lambda: [])
    length: int = 0

    @property
    def text(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    def add(self, text: str) -> None:
        self.pieces.append(text)
        self.length += len(text)

    def restart(self, text: str) -> None:
        self.pieces = [text]
        self.length = len(text)


@dataclass(slots=True)
class OpenCall:
    """A `tool_executing` whose `tool_completed` is still to come."""

    call_id: CallId
    tool: str
    started: float | None


class Journal:
    """The record of one run, kept up to date while it runs, and asked while it is replayed."""

    def __init__(self) -> None:
        self.steps: dict[StepKey, Step] = {}
        self.parts: list[Part] = []
        self.calls: dict[CallId, OpenCall] = {}
        self.approvals: dict[ApprovalId, Step] = {}
        self.started_seq: int | None = None
        self._thoughts: defaultdict[tuple[str, str | None], int] = defaultdict(int)
        self._unseen_thoughts: defaultdict[tuple[str, str | None], int] = defaultdict(int)
        self._unasked: dict[str, dict[StepKey, None]] = {}
        self._completions = 0
        self._parked_at: int | None = None
        self._silent: set[int] = set()
        self._next = 0
        self._turns: dict[int, asyncio.Future[None]] = {}
        self._hop: asyncio.Handle | None = None
        self.progress = 0
        """Grows with each release: tells a stalled replay from a slow one."""

    # -- record ------------------------------------------------------------------------------

    def record(self, entry: Entry) -> None:
        """Fold an entry of this run that is in the log, or about to be."""
        match entry.body:
            case events.AgentOutput() as body:  # first, for most entries are
                self._piece(body)
            case journal.StepStarted() as body:
                step = self.steps.get(body.key)
                if step is None:
                    step = self.steps[body.key] = Step(body.key, body.kind)
                step.call_id = body.call_id or step.call_id
                step.approval_id = body.approval_id or step.approval_id
                step.child_run_id = body.child_run_id or step.child_run_id
                step.until_ms = body.until_ms or step.until_ms
                step.attempts = max(step.attempts, body.attempt)
                if step.approval_id is not None:
                    self.approvals[step.approval_id] = step
            case journal.StepCompleted() as body:
                step = self.steps[body.key]
                step.order = self._completions
                self._completions += 1
                step.value = body.value
                step.failed_status = body.failed_status
                step.failed_message = body.failed_message
                if step.approval_id is not None:
                    self.approvals.pop(step.approval_id, None)
            case events.ToolExecuting() as body:
                self.calls[body.call_id] = OpenCall(body.call_id, body.tool, None)
            case events.ToolCompleted() as body:
                self.calls.pop(body.call_id, None)
            case events.AgentThinking() as body:
                self._thoughts[body.text, body.step] += 1
            case journal.RunParked():
                self._parked_at = self._completions
            case events.AgentStarted():
                self.started_seq = entry.seq
            case _:
                pass

    def record_all(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self.record(entry)

    def _piece(self, body: events.AgentOutput) -> None:
        for part in self.parts:
            if part.part_id == body.part_id:
                break
        else:
            part = Part(body.part_id)
            self.parts.append(part)
        if body.restart:
            part.restart(body.text)
        else:
            part.add(body.text)

    @property
    def text(self) -> str:
        """The answer as far as it is recorded."""
        return "".join(part.text for part in self.parts)

    @property
    def answered(self) -> bool:
        """True if something that the parked run waited for has ended since."""
        return self._parked_at is not None and self._completions > self._parked_at

    # -- replay ------------------------------------------------------------------------------

    def rewind(self) -> None:
        """Begin an attempt: everything recorded is to be asked for again."""
        self._unasked = {}
        for key, step in self.steps.items():
            if step.kind != "approval" or not key.name.startswith("approval:"):
                self._unasked.setdefault(key.scope, {})[key] = None
        self._unseen_thoughts = self._thoughts.copy()
        self._next = 0
        self._turns = {}
        if self._hop is not None:
            self._hop.cancel()
            self._hop = None
        # Completions of a tool's own approval are released by asking for the tool.
        self._silent = {
            step.order
            for key, step in self.steps.items()
            if key.name.startswith("approval:") and step.order is not None
        }
        self._skip_silent()

    def ask(self, key: StepKey) -> Step | None:
        """The recorded step of that identity; None for a new one. Raises NondeterminismError."""
        unasked = self._unasked.get(key.scope)
        step = self.steps.get(key)
        if step is None:
            if unasked:
                recorded = next(iter(unasked))
                raise NondeterminismError(
                    f"asked for {_name(key)}, but {_name(recorded)} was recorded here"
                )
            return None
        if unasked is not None:
            unasked.pop(key, None)
            if not unasked:
                del self._unasked[key.scope]
        return step

    def unasked(self) -> StepKey | None:
        """A recorded step that the code did not ask for in this attempt."""
        for keys in self._unasked.values():
            return next(iter(keys))
        return None

    def turn(self, order: int) -> asyncio.Future[None]:
        """Done when the completion of that order may be released: one after the other."""
        turn = asyncio.get_running_loop().create_future()
        if order < self._next:
            turn.set_result(None)
        else:
            self._turns[order] = turn
            self._schedule()
        return turn

    def silence(self, order: int) -> None:
        """A completion that nobody waits for takes no turn."""
        self._silent.add(order)
        self._skip_silent()
        self._schedule()

    def waits_out_of_turn(self) -> bool:
        """True if somebody waits for a turn that cannot come now."""
        return bool(self._turns) and self._next not in self._turns

    def _schedule(self) -> None:
        if self._hop is None and self._next in self._turns:
            self._hop = asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        self._hop = None
        turn = self._turns.pop(self._next, None)
        self._next += 1
        self.progress += 1
        self._skip_silent()
        if turn is not None and not turn.done():
            turn.set_result(None)
        self._schedule()

    def _skip_silent(self) -> None:
        while self._next in self._silent:
            self._silent.discard(self._next)
            self._next += 1

    def seen_thought(self, text: str, step: str | None) -> bool:
        """True if that thought is recorded and was not yet met in this attempt."""
        if self._unseen_thoughts[text, step] > 0:
            self._unseen_thoughts[text, step] -= 1
            return True
        return False


def _name(key: StepKey) -> str:
    where = f" in {key.scope}" if key.scope else ""
    return f"{key.name!r} (arguments {key.arguments[:8]}, number {key.occurrence + 1}){where}"


# -- scopes --------------------------------------------------------------------------------------


class Scope:
    """Where in the tree of tasks a step is asked for: identity that survives a replay."""

    __slots__ = ("_children", "_occurrences", "owner", "path")

    def __init__(self, path: str, owner: asyncio.Task[Any] | None) -> None:
        self.path = path
        self.owner = owner
        self._children = 0
        self._occurrences: defaultdict[tuple[str, str], int] = defaultdict(int)

    def key(self, name: str, arguments: str) -> StepKey:
        """The identity of the next step of that name and arguments in this scope."""
        occurrence = self._occurrences[name, arguments]
        self._occurrences[name, arguments] += 1
        return StepKey(self.path, name, arguments, occurrence)

    def child(self, owner: asyncio.Task[Any] | None) -> Scope:
        self._children += 1
        return Scope(f"{self.path}/{self._children}", owner)


_scope: ContextVar[tuple[object, Scope] | None] = ContextVar("goldenpath_scope", default=None)


def current_scope(root: Scope) -> Scope:
    """The scope of the running task: each task that asks for steps has its own.

    A task is numbered among its parent's when it first asks, so parallel branches keep their
    identities whatever the order in which they end.
    """
    task = asyncio.current_task()
    found = _scope.get()
    scope = found[1] if found is not None and found[0] is root else root
    if root.owner is None:
        root.owner = task
    if scope.owner is not task:
        scope = scope.child(task)
        _scope.set((root, scope))
    return scope
