"""One attempt at a run: the agent's code in memory, from its start to its end or its parking."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Literal

from goldenpath.engine import bodies, ending, steps, values
from goldenpath.engine.answer import AnswerWriter
from goldenpath.engine.budget import Budget
from goldenpath.engine.context import Approval, Message, RunContext
from goldenpath.engine.definitions import Agent, Tool
from goldenpath.engine.ending import Ending
from goldenpath.engine.journal import Scope, Step, current_scope
from goldenpath.engine.outbox import FencedError
from goldenpath.engine.ports import Attempt
from goldenpath.engine.run import Run
from goldenpath.engine.toolcall import ToolCall
from goldenpath.errors import (
    NondeterminismError,
    NotReplayableError,
    ToolFailedError,
)
from goldenpath.model import events
from goldenpath.model.entries import Body
from goldenpath.model.ids import RunId
from goldenpath.model.journal import RunFailure, RunParked, StepCompleted, StepKey

if TYPE_CHECKING:
    from goldenpath.engine.user_engine import UserExecutionEngine

Stop = Literal["cancelled", "timed_out", "failed", "parked", "shutdown", "fenced"]
_LEAVES_OPEN: frozenset[str] = frozenset({"parked", "shutdown", "fenced"})


class Execution:
    """Runs the agent's function, serves its `RunContext`, and writes how it ended."""

    def __init__(self, engine: UserExecutionEngine, run: Run, agent: Agent) -> None:
        self.engine = engine
        self.run = run
        self.agent = agent
        self.user = engine.user
        self.attempt = run.attempts
        self.limits = engine.limits
        self.budget = Budget(run.remaining_ms, lambda: self.stop("timed_out"))
        self.usage: dict[str, int | float] = {}
        self.answer = AnswerWriter(self)
        self._outbox = engine.outbox
        self._most_unsent = self.limits.unsent_bytes
        self._scope = Scope("", None)
        self._stop: Stop | None = None
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the code has ended, or is to be stopped."""
        self._failure: Ending | None = None
        self._operations: set[asyncio.Future[Any]] = set()
        self._waits: dict[StepKey, int | None] = {}
        self.unrepeatable: set[StepKey] = set()
        """Tools whose call is written or under way and may not be called again."""
        self._handed_over = False
        self._begun: Attempt | None = None
        """What the observer was told of."""
        self._ended: tuple[str, str | None] = ("fenced", None)
        self._park_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None

    # -- life --------------------------------------------------------------------------------

    async def main(self, history: list[Message]) -> None:
        """Run to the end, or until parked, cancelled, timed out, fenced. Appends how it ended."""
        try:
            await self._main(history)
        finally:
            if self._begun is not None:
                self.engine.observer.attempt_ended(self._begun, *self._ended)
            # No cycles are left: the collector of those comes late, and answers may be large.
            self.budget.close()
            self.answer.detach()

    async def _main(self, history: list[Message]) -> None:
        run, context = self.run, None
        body: asyncio.Future[Any] | None = None
        try:
            run.journal.rewind()
            # The attempt is durable before any of the agent's code runs: a crash is counted.
            await self.engine.outbox.durable()
            context = RunContext(self, history)
            self.budget.start()
            self._begin()
            body = asyncio.create_task(self._code(context))
            body.add_done_callback(self._wake)
            await self._over
        except FencedError:
            self._stop = "fenced"
        except asyncio.CancelledError:
            self._stop = "fenced"
            raise
        finally:
            self.budget.stop()
            for timer in (self._park_timer, self._stall_timer):
                if timer is not None:
                    timer.cancel()
            if body is not None:
                await bodies.stop(
                    body, self.limits.cancel_seconds, self.engine.abandoned, f"agent {run.agent}"
                )
            await self._stop_operations()
            if context is not None:
                context.end()
            self.answer.close()
            run.remaining_ms = self.budget.remaining_ms
            run.ending = not self.leaves_open
            run.execution = None
        self._ended = await self._conclude(body)

    def _begin(self) -> None:
        run = self.run
        self._begun = Attempt(run.run_id, run.thread_id, run.parent_run_id, run.agent, self.attempt)
        self.engine.observer.attempt_began(self._begun)

    async def _code(self, context: RunContext) -> str | None:
        return await self.agent.function(context, self.run.text)

    async def _stop_operations(self) -> None:
        operations = [o for o in self._operations if not o.done()]
        for operation in operations:
            operation.cancel()
        if operations:
            await asyncio.wait(operations)

    def stop(self, why: Stop) -> None:
        """End this attempt; the first reason counts, but nothing is written once fenced."""
        if self._stop is None or why == "fenced":
            self._stop = why
            self._wake()

    def _wake(self, _: object = None) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def park(self, reason: Literal["approval", "sleep", "child", "shutdown"]) -> None:
        """Leave the memory. The entry comes first: whatever ends from now on takes it up again.

        Called by timers and at a shutdown, when the activation may be over and not know yet.
        """
        if self._outbox.fenced:
            self.stop("fenced")
        elif self._stop is None:
            self.emit(RunParked(reason=reason, remaining_ms=self.budget.remaining_ms))
            self.run.parked = reason
            self.stop("shutdown" if reason == "shutdown" else "parked")

    def hand_over(self) -> None:
        """Let another host go on as soon as nothing is under way that may not be called again."""
        self._handed_over = self.agent.recover == "replay"
        if self._handed_over and not self.unrepeatable:
            self.park("shutdown")

    @property
    def stopping(self) -> Stop | None:
        """Why this attempt ends, if it does."""
        return self._stop

    async def _conclude(self, body: asyncio.Future[Any] | None) -> tuple[str, str | None]:
        """Write how it ended; gives that, as `Observer.attempt_ended` wants it."""
        engine, run = self.engine, self.run
        try:
            if self._stop == "fenced":
                return self._stop, None
            if self._stop in ("parked", "shutdown"):
                await engine.outbox.durable()
                engine.attempt_parked(run, self.attempt)
                return self._stop, None
            end = self._ending(body)
            await engine.end_children(run)
            if body is not None and end.status == "succeeded":
                self.answer.finish(body.result())
                if not run.journal.text.strip():
                    end = Ending("failed", ending.EMPTY_ANSWER)
            if end.detail is not None:
                self.emit(RunFailure(detail=end.detail))
            await engine.finish(
                run, end.status, end.error, usage=self.usage, remaining_ms=run.remaining_ms
            )
        except FencedError:
            return "fenced", None
        return end.status, None if end.error is None else end.error.code

    def _ending(self, body: asyncio.Future[Any] | None) -> Ending:
        match self._stop:
            case "cancelled":
                return Ending("cancelled")
            case "timed_out":
                return Ending("timed_out", ending.DEADLINE_EXCEEDED)
            case "failed":
                assert self._failure is not None
                return self._failure
            case _:
                assert body is not None and body.done()
                return self._with_answer(body)

    def _with_answer(self, body: asyncio.Future[Any]) -> Ending:
        end = ending.ending_of(self.run, self.agent.version, body)
        if end.status != "succeeded":
            return end
        problem = self.answer.problem(body.result())
        return end if problem is None else ending.agent_failed(problem)

    def fail_replay(self, what: str) -> None:
        """The code asked for something else than was recorded."""
        self._fail(ending.nondeterministic(self.run, self.agent.version, what))

    def fail(self, detail: str) -> None:
        """The run cannot go on, by the agent's fault."""
        self._fail(ending.agent_failed(detail))

    def _fail(self, failure: Ending) -> None:
        if self._stop is None:
            self._failure = failure
        self.stop("failed")

    # -- writing -----------------------------------------------------------------------------

    def emit(self, *bodies_: Body) -> int:
        """Add entries of this run to the log, after what it wrote before. Gives the last seq."""
        if self.leaves_open:
            raise asyncio.CancelledError  # the next attempt does it
        self.answer.flush()
        return self.engine.emit(self.run, *bodies_)

    def _going(self) -> None:
        """Code that is being stopped writes no more."""
        if self._stop is not None:
            raise asyncio.CancelledError

    def think(self, text: str, step: str | None) -> None:
        self._going()
        text = text[: self.limits.result_event_bytes]
        if not self.run.journal.seen_thought(text, step):
            self.emit(events.AgentThinking(text=text, step=step))

    def write(self, text: str) -> bool:
        """Take a piece of the answer; true if the store is far behind."""
        if self._stop is not None:
            raise asyncio.CancelledError
        self.answer.write(text)
        return self._outbox.unsent_bytes > self._most_unsent

    async def caught_up(self) -> None:
        """Wait until the store has what this run wrote."""
        self.answer.flush()
        await self.engine.outbox.durable()

    def restart_part(self) -> None:
        self._going()
        self.answer.restart()

    def report_usage(self, numbers: dict[str, float]) -> None:
        for name, number in numbers.items():
            total = self.usage.get(name, 0) + number
            # JSON has no other numbers: one that it cannot hold would make the log unreadable.
            if not math.isfinite(total):
                raise ValueError(f"report_usage({name}={number!r}): must be a finite number")
            self.usage[name] = total

    # -- steps -------------------------------------------------------------------------------

    async def call(
        self, tool: Tool[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not isinstance(tool, Tool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"{tool!r} is not a tool; decorate it with @tool")
        arguments = tool.bind(args, kwargs)
        plain = values.to_journal(arguments, self.limits.result_journal_bytes)
        key, step = self._ask(tool.name, plain)
        call = ToolCall(self, tool, arguments, plain, key)
        return values.from_journal(await self._operate(call.perform(step)), tool.result_type)

    async def step(
        self,
        name: str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        plain = values.to_journal([list(args), kwargs], self.limits.result_journal_bytes)
        key, step = self._ask(f"step {name}", plain)
        result = await self._operate(steps.call_function(self, key, step, function, args, kwargs))
        return values.from_journal(result, steps.result_type(function))

    async def child(self, name: str, text: str) -> str:
        if self.engine.agents.get(name) is None:
            raise ToolFailedError("error", f"there is no agent {name!r}")
        key, step = self._ask(f"agent {name}", [text])
        return await self._operate(steps.run_child(self, key, step, name, text))

    def child_parked(self, child_id: RunId, parked: bool) -> None:
        """A child waits, or goes on: waiting for a waiting child is a durable wait too."""
        for key, step in self.run.journal.steps.items():
            if step.child_run_id == child_id and step.order is None:
                if parked:
                    self._waits[key] = None
                else:
                    self._waits.pop(key, None)
                self._balance()

    async def approve(
        self, prompt: str, arguments: dict[str, Any], expires: float | None
    ) -> Approval:
        self._may_wait("approve")
        plain = values.to_journal({"prompt": prompt, **arguments}, self.limits.result_event_bytes)
        key, step = self._ask("approve", plain)
        value = await self._operate(steps.approve(self, key, step, prompt, arguments, expires))
        return Approval(value["decision"], value["reason"])

    async def sleep(self, seconds: float) -> None:
        self._may_wait("sleep")
        if not (math.isfinite(seconds) and seconds >= 0):
            raise ValueError(f"sleep({seconds}): seconds must be a number >= 0")
        key, step = self._ask("sleep", [seconds])
        await self._operate(steps.sleep(self, key, step, seconds))

    def _may_wait(self, what: str) -> None:
        if self.agent.recover == "fail":
            raise NotReplayableError(
                f'{what}: an agent with recover="fail" cannot wait durably; use recover="replay"'
            )

    # -- the machinery of steps --------------------------------------------------------------

    def _ask(self, name: str, plain: Any) -> tuple[StepKey, Step | None]:
        self._going()
        self.answer.close_part()
        key = current_scope(self._scope).key(name, values.fingerprint(plain))
        step = None
        try:
            step = self.run.journal.ask(key)
        except NondeterminismError as error:
            self.fail_replay(str(error))
            raise
        finally:
            recorded = step is not None and step.order is not None
            self.engine.observer.step_asked(self.run.run_id, self.attempt, key, recorded)
        return key, step

    async def _operate(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Do a step's work in a task of its own, so that it closes its pair whoever cancels."""
        operation = asyncio.create_task(work)
        self._operations.add(operation)
        self._balance()
        operation.add_done_callback(self._operation_done)
        try:
            return await asyncio.shield(operation)
        except asyncio.CancelledError:
            operation.cancel()
            raise
        except FencedError:
            self.stop("fenced")
            raise asyncio.CancelledError from None

    def _operation_done(self, operation: asyncio.Future[Any]) -> None:
        self._operations.discard(operation)
        if not operation.cancelled():
            operation.exception()
        self._balance()

    async def complete(self, *entries: Body) -> Any:
        """Record a step's end; give its value when it is durable and its turn has come."""
        self.emit(*entries)
        if self._handed_over:
            self.hand_over()
        ended = next(e for e in entries if isinstance(e, StepCompleted))
        step = self.run.journal.steps[ended.key]
        try:
            await self.engine.outbox.durable()
        except asyncio.CancelledError:
            if step.order is not None:
                self.run.journal.silence(step.order)
            raise
        return await self.replayed(step)

    async def replayed(self, step: Step) -> Any:
        assert step.order is not None
        turn = self.run.journal.turn(step.order)
        self._watch_for_stall()
        try:
            await turn
        except asyncio.CancelledError:
            turn.cancel()
            raise
        if step.failed_status is not None:
            raise ToolFailedError(step.failed_status, step.failed_message or step.failed_status)
        return step.value

    def _watch_for_stall(self) -> None:
        journal = self.run.journal
        if not journal.waits_out_of_turn() or self._stall_timer is not None:
            return
        progress = journal.progress

        def look() -> None:
            self._stall_timer = None
            if self._stop is None and journal.waits_out_of_turn():
                if journal.progress == progress:
                    self.fail_replay(
                        "the replay waits only for steps whose recorded order cannot be kept"
                    )
                else:
                    self._watch_for_stall()

        loop = asyncio.get_running_loop()
        self._stall_timer = loop.call_later(self.limits.stall_seconds, look)

    async def wait_durably(self, key: StepKey, until_ms: int | None, what: Awaitable[Any]) -> None:
        """Wait without spending the budget; a long wait parks the run."""
        self._waits[key] = until_ms
        self._balance()
        try:
            await what
        finally:
            self.waits_no_more(key)

    def waits_no_more(self, key: StepKey) -> None:
        """What a step waited for has come, or will not."""
        self._waits.pop(key, None)
        self._balance()

    def _balance(self) -> None:
        """Count active time, or not; park when everything that goes on is a durable wait."""
        if self._stop is not None:
            return
        waiting = bool(self._waits) and len(self._waits) >= len(self._operations)
        if waiting:
            self.budget.stop()
            if self._park_timer is None and self.agent.recover == "replay":
                loop = asyncio.get_running_loop()
                self._park_timer = loop.call_later(self.limits.park_seconds, self._park)
        else:
            self.budget.start()
            if self._park_timer is not None:
                self._park_timer.cancel()
                self._park_timer = None

    def _park(self) -> None:
        self._park_timer = None
        recorded = self.run.journal.steps
        if any((step := recorded.get(key)) and step.order is not None for key in self._waits):
            # What it waited for came in this very turn of the loop. The wait's end balances anew;
            # parked now, the run would wait for something that is in the log already.
            return
        soon = self.engine.clock.now_ms() + int(self.limits.park_seconds * 1000)
        if any(until is not None and until <= soon for until in self._waits.values()):
            loop = asyncio.get_running_loop()
            self._park_timer = loop.call_later(self.limits.park_seconds, self._park)
        else:
            self.park(self._wait_reason())

    def _wait_reason(self) -> Literal["approval", "sleep", "child"]:
        kinds = {s.kind for s in self.run.journal.steps.values() if s.order is None}
        if "approval" in kinds:
            return "approval"
        return "sleep" if "sleep" in kinds else "child"

    @property
    def leaves_open(self) -> bool:
        """True if open pairs stay open: another attempt closes them."""
        return self._stop in _LEAVES_OPEN

    @property
    def calls_end(self) -> events.ToolStatus:
        """How a call ends that is stopped because the run stops, or because its caller does."""
        return "timed_out" if self._stop == "timed_out" else "cancelled"
