"""One call of a tool: its pair of events, its attempts, its approval, its recovery."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from goldenpath.engine import bodies, steps, values
from goldenpath.engine.definitions import Tool, ToolContext
from goldenpath.engine.ending import stack_of
from goldenpath.engine.journal import Step
from goldenpath.errors import NotReplayableError, RunEndedError
from goldenpath.model import events
from goldenpath.model.ids import CallId
from goldenpath.model.journal import StepCompleted, StepKey, StepStarted

if TYPE_CHECKING:
    from goldenpath.engine.execution import Execution

_BACKOFF_SECONDS = 0.2
_BACKOFF_MOST = 10.0
_PROGRESS_SECONDS = 0.05


class ToolCall:
    """From `tool_executing` to `tool_completed`; `perform` gives the value or raises ToolFailed."""

    def __init__(
        self,
        execution: Execution,
        tool: Tool[..., Any],
        arguments: dict[str, Any],
        plain: Any,
        key: StepKey,
    ) -> None:
        self._execution = execution
        self._engine = execution.engine
        self._tool = tool
        self._arguments = arguments
        self._plain = plain
        self._key = key
        self._call_id = CallId("")
        self._attempt = 0
        self._began = 0.0
        self._open = True
        self._entered = False
        """The observer was told that it began."""
        self._progress: tuple[str, float | None] | None = None
        self._progress_timer: asyncio.TimerHandle | None = None

    async def perform(self, step: Step | None) -> Any:
        """Do the call, or what is left of a recorded one."""
        execution = self._execution
        if step is not None and step.order is not None:
            return await execution.replayed(step)
        self._began = self._engine.clock.monotonic()
        status = "interrupted"
        try:
            outcome = await self._settle(step)
            status = outcome[0]
        except asyncio.CancelledError:
            if execution.leaves_open or not self._call_id or self._engine.outbox.fenced:
                raise
            status = execution.calls_end
            self._write_end((status, None, "The call was stopped.", None))
            raise
        finally:
            self._open = False
            if self._entered:
                self._engine.observer.tool_ended(self._call_id, status, self._attempt)
            execution.unrepeatable.discard(self._key)
            if self._progress_timer is not None:
                self._progress_timer.cancel()
        entries = self._end(outcome)
        return await execution.complete(*entries)

    async def _settle(self, step: Step | None) -> Outcome:
        """Everything up to the outcome: asking, calling, retrying."""
        if step is None:
            self._begin()
        else:
            assert step.call_id is not None
            self._call_id, self._attempt = step.call_id, step.attempts
            if self._attempt > 0:
                interrupted = await self._ambiguous()
                if interrupted is not None:
                    return interrupted
        if self._tool.approval and self._attempt == 0:
            refusal = await self._approved(self._approval_key(0))
            if refusal is not None:
                return ("denied", None, refusal, None)
            self._next_attempt()
        while True:
            # Journaled before the body is entered, and still ours to enter.
            await self._engine.outbox.durable()
            self._engine.check_lease()
            outcome = await self._call_body()
            if outcome[0] not in ("error", "timed_out") or self._attempt > self._tool.retries:
                return outcome
            pause = min(_BACKOFF_SECONDS * 2 ** (self._attempt - 1), _BACKOFF_MOST)
            await asyncio.sleep(pause * (0.5 + self._engine.ids.random() / 2))
            self._next_attempt()

    # -- the entries -------------------------------------------------------------------------

    def _shown_arguments(self) -> dict[str, Any]:
        shown: Any = values.bounded(
            values.redact(self._plain, self._tool.secret),
            self._engine.limits.result_event_bytes,
        )
        return cast("dict[str, Any]", shown) if isinstance(shown, dict) else {"cut": shown}

    def _begin(self) -> None:
        self._engine.check_lease()  # or the call would be ambiguous, though its body never ran
        self._call_id = CallId(self._engine.ids.new())
        self._attempt = 0 if self._tool.approval else 1
        executing = events.ToolExecuting(
            call_id=self._call_id, tool=self._tool.name, arguments=self._shown_arguments()
        )
        if self._tool.approval:
            self._request(self._approval_key(0), executing, self._started())
        else:
            self._execution.emit(executing, self._started())

    def _started(self) -> StepStarted:
        if self._attempt and not self._tool.idempotent:
            # From here on another host could not tell whether the body ran.
            self._execution.unrepeatable.add(self._key)
        return StepStarted(
            key=self._key,
            kind="tool",
            call_id=self._call_id,
            attempt=self._attempt,
            remaining_ms=self._execution.budget.remaining_ms,
        )

    def _next_attempt(self) -> None:
        self._engine.check_lease()
        self._attempt += 1
        self._execution.emit(self._started())

    def _end(self, outcome: Outcome) -> tuple[StepCompleted, events.ToolCompleted]:
        status, value, message, detail = outcome
        failed = status != "ok"
        shown = values.bounded(
            values.redact(value, self._tool.secret), self._engine.limits.result_event_bytes
        )
        return (
            StepCompleted(
                key=self._key,
                value=value,
                failed_status=status if failed else None,
                failed_message=message if failed else None,
                detail=detail,
                remaining_ms=self._execution.budget.remaining_ms,
            ),
            events.ToolCompleted(
                call_id=self._call_id,
                tool=self._tool.name,
                status=status,
                result=shown,
                error=_for_the_user(status, message, detail) if failed else None,
                duration_ms=int((self._engine.clock.monotonic() - self._began) * 1000),
                attempts=self._attempt,
            ),
        )

    def _write_end(self, outcome: Outcome) -> None:
        """Close the pair of a call that nobody waits for any more."""
        journal = self._execution.run.journal
        if self._call_id in journal.calls:
            self._execution.emit(*self._end(outcome))
            order = journal.steps[self._key].order
            if order is not None:
                journal.silence(order)

    # -- approval and ambiguity --------------------------------------------------------------

    def _approval_key(self, attempt: int) -> StepKey:
        return StepKey(self._key.scope, f"approval:{self._call_id}", "", attempt)

    def _request(
        self, key: StepKey, *before: events.ToolExecuting | StepStarted, prompt: str | None = None
    ) -> Step:
        return steps.request_approval(
            self._execution,
            key,
            self._call_id,
            self._tool.name,
            self._shown_arguments(),
            prompt,
            None,
            *before,
        )

    async def _approved(self, key: StepKey, prompt: str | None = None) -> str | None:
        """None if the user said yes, else why not."""
        step = self._execution.run.journal.steps.get(key)
        if step is None:
            step = self._request(key, prompt=prompt)
        if step.order is None:
            await steps.decided(self._execution, step)
        value = step.value or {"decision": step.failed_status, "reason": None}
        if value["decision"] == "approved":
            return None
        return value["reason"] or f"The user's approval was {value['decision']}."

    async def _ambiguous(self) -> Outcome | None:
        """The body was entered and its end is unknown: call again, ask, or say so."""
        if self._tool.idempotent:
            self._next_attempt()
            return None
        if self._tool.on_ambiguous == "user":
            prompt = f"It is not known whether {self._tool.name} ran. Run it again?"
            if await self._approved(self._approval_key(self._attempt), prompt) is None:
                self._next_attempt()
                return None
        return (
            "interrupted",
            None,
            "It is not known whether this tool ran: the process died while it did.",
            None,
        )

    # -- the body ----------------------------------------------------------------------------

    async def _call_body(self) -> Outcome:
        tool, execution = self._tool, self._execution
        seconds = min(tool.timeout or self._engine.limits.tool_seconds, execution.budget.remaining)
        arguments = dict(self._arguments)
        alive = [True]
        if tool.context_parameter is not None:
            arguments[tool.context_parameter] = self._context(seconds, alive)
        self._engine.observer.body_entered(execution.run.run_id, self._key)
        if not self._entered:
            self._entered = True
            self._engine.observer.tool_began(execution.run.run_id, self._call_id, tool.name)
        body = bodies.call(tool.function, arguments, tool.is_async, self._engine.threads)
        limits, what = self._engine.limits, f"tool {tool.name}"
        try:
            await bodies.until_done(body, seconds)
            if not body.done():
                await bodies.stop(body, limits.cancel_seconds, self._engine.abandoned, what)
                return ("timed_out", None, f"no result within {seconds:g} s", None)
        except asyncio.CancelledError:
            await bodies.stop(body, limits.cancel_seconds, self._engine.abandoned, what)
            raise
        finally:
            alive[0] = False
        if body.cancelled():
            return ("error", None, "the tool raised CancelledError", None)
        error = body.exception()
        if error is not None:
            detail = stack_of(error)
            return ("error", None, f"{type(error).__name__}: {error}"[:4000], detail)
        try:
            value = values.to_journal(body.result(), limits.result_journal_bytes)
            values.from_journal(value, tool.result_type)
        except NotReplayableError as problem:
            return ("error", None, str(problem), None)
        return ("ok", value, None, None)

    def _context(self, seconds: float, alive: list[bool]) -> ToolContext:
        loop = asyncio.get_running_loop()

        def progress(text: str, fraction: float | None) -> None:
            if not alive[0]:
                raise RunEndedError(f"call {self._call_id} of {self._tool.name} has ended")
            loop.call_soon_threadsafe(self._note_progress, text, fraction)

        return ToolContext(self._call_id, self._execution.user, seconds, progress)

    def _note_progress(self, text: str, fraction: float | None) -> None:
        """The newest progress counts; at most one event in each interval."""
        self._progress = (text, fraction)
        if self._progress_timer is None:
            self._tell_progress()

    def _tell_progress(self) -> None:
        self._progress_timer = None
        if self._progress is None or not self._open or self._execution.stopping is not None:
            return
        text, fraction = self._progress
        self._progress = None
        if self._engine.outbox.fenced:
            return
        self._execution.emit(
            events.ToolProgress(call_id=self._call_id, text=text[:4000], fraction=fraction)
        )
        loop = asyncio.get_running_loop()
        self._progress_timer = loop.call_later(_PROGRESS_SECONDS, self._tell_progress)


Outcome = tuple[events.ToolStatus, Any, str | None, str | None]
"""(status, value, message for the agent, stack for operators)"""


def _for_the_user(status: str, message: str | None, detail: str | None) -> str | None:
    """What an event says of a failure: never an exception's text, which may hold secrets."""
    if detail is not None:
        return "The tool failed."
    return message
