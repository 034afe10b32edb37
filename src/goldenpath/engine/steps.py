"""What the steps of a run do the first time, and in a replay: functions, children, waits.

A tool call is a step too, with a room of its own: `toolcall`.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, get_type_hints

from goldenpath.engine import bodies, values
from goldenpath.engine.ending import stack_of
from goldenpath.engine.journal import Step
from goldenpath.errors import NotReplayableError, ToolFailedError
from goldenpath.model import events
from goldenpath.model.entries import Body, format_time
from goldenpath.model.ids import ApprovalId, CallId, RunId
from goldenpath.model.journal import StepCompleted, StepKey, StepStarted

if TYPE_CHECKING:
    from goldenpath.engine.execution import Execution


async def call_function(
    execution: Execution,
    key: StepKey,
    step: Step | None,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """`run.step`: any function, whose result is recorded."""
    if step is not None and step.order is not None:
        return await execution.replayed(step)
    limits, engine = execution.limits, execution.engine
    engine.check_lease()
    is_async = inspect.iscoroutinefunction(function)
    engine.observer.body_entered(execution.run.run_id, key)
    engine.observer.step_began(execution.run.run_id, key)
    body = bodies.call(lambda: function(*args, **kwargs), {}, is_async, engine.threads)
    value, status, message, detail = None, None, None, None
    try:
        await bodies.until_done(body)
        if body.cancelled():
            status, message = "error", "cancelled"
        elif (error := body.exception()) is not None:
            status, message, detail = "error", f"{type(error).__name__}: {error}", stack_of(error)
        else:
            value = values.to_journal(body.result(), limits.result_journal_bytes)
    except NotReplayableError as error:
        status, message = "error", str(error)
    except asyncio.CancelledError:
        status = "cancelled"
        await bodies.stop(body, limits.cancel_seconds, engine.abandoned, f"step {key.name}")
        raise
    finally:
        engine.observer.step_ended(execution.run.run_id, key, status or "ok")
    left = execution.budget.remaining_ms
    return await execution.complete(
        StepStarted(key=key, kind="step", remaining_ms=left),
        StepCompleted(
            key=key,
            value=value,
            failed_status=status,
            failed_message=message,
            detail=detail,
            remaining_ms=left,
        ),
    )


def result_type(function: Callable[..., Any]) -> Any:
    """What a function says that it returns; Any if it does not."""
    try:
        return get_type_hints(function).get("return", Any)
    except (TypeError, NameError, AttributeError):
        return Any


async def run_child(
    execution: Execution, key: StepKey, step: Step | None, name: str, text: str
) -> Any:
    """`run.call_agent`: a run of its own, whose answer is the result."""
    if step is not None and step.order is not None:
        return await execution.replayed(step)
    engine, budget = execution.engine, execution.budget
    if step is None or step.child_run_id is None:
        child_id = RunId(engine.ids.new())
        refusal = engine.refuse_child(execution.run)
        if refusal is not None:
            raise ToolFailedError("error", refusal)
        execution.emit(
            StepStarted(
                key=key, kind="agent", child_run_id=child_id, remaining_ms=budget.remaining_ms
            )
        )
        engine.start_child(execution.run, key, child_id, name, text, budget.remaining)
    else:
        child_id = step.child_run_id
    end = await _child_end(execution, key, child_id)
    failed = end.status != "succeeded"
    message = end.error.message if end.error is not None else f"the run was {end.status}"
    return await execution.complete(
        StepCompleted(
            key=key,
            value=None if failed else end.output,
            failed_status=_CHILD_STATUS[end.status] if failed else None,
            failed_message=message if failed else None,
            remaining_ms=budget.remaining_ms,
        )
    )


async def _child_end(execution: Execution, key: StepKey, child_id: RunId) -> events.AgentCompleted:
    child = execution.engine.runs.get(child_id)
    if child is None:
        return await execution.engine.ended_child(child_id)
    if child.ended is None:
        child.ended = asyncio.get_running_loop().create_future()
    try:
        if child.parked is not None:
            execution.child_parked(child_id, True)
        return await asyncio.shield(child.ended)
    finally:
        execution.waits_no_more(key)


_CHILD_STATUS: dict[str, str] = {
    "failed": "error",
    "cancelled": "cancelled",
    "timed_out": "timed_out",
}


async def approve(
    execution: Execution,
    key: StepKey,
    step: Step | None,
    prompt: str,
    arguments: dict[str, Any],
    expires: float | None,
) -> Any:
    """`run.approve`: what the user decides."""
    if step is None:
        step = request_approval(execution, key, None, None, arguments, prompt, expires)
    if step.order is None:
        await decided(execution, step)
    return await execution.replayed(step)


def request_approval(
    execution: Execution,
    key: StepKey,
    call_id: CallId | None,
    tool: str | None,
    arguments: dict[str, Any],
    prompt: str | None,
    expires: float | None,
    *before: Body,
) -> Step:
    """Ask the user: the entries `before` and the request, in one append."""
    engine = execution.engine
    approval_id = ApprovalId(engine.ids.new())
    seconds = execution.limits.approval_seconds if expires is None else expires
    until_ms = engine.clock.now_ms() + int(seconds * 1000)
    execution.emit(
        *before,
        events.ApprovalRequested(
            approval_id=approval_id,
            call_id=call_id,
            tool=tool,
            arguments=arguments,
            prompt=prompt,
            expires=format_time(until_ms),
        ),
        StepStarted(
            key=key,
            kind="approval",
            approval_id=approval_id,
            until_ms=until_ms,
            remaining_ms=execution.budget.remaining_ms,
        ),
    )
    return execution.run.journal.steps[key]


async def decided(execution: Execution, step: Step) -> None:
    """Wait durably for the decision of an approval: it is in the journal on return."""
    assert step.approval_id is not None
    execution.engine.arm_timer()
    decisions = execution.run.decisions
    while step.order is None:
        decision = decisions.get(step.approval_id)
        if decision is None:
            decision = asyncio.get_running_loop().create_future()
            decisions[step.approval_id] = decision
        await execution.wait_durably(step.key, step.until_ms, asyncio.shield(decision))


async def sleep(execution: Execution, key: StepKey, step: Step | None, seconds: float) -> Any:
    """`run.sleep`: until a moment that is kept through restarts."""
    if step is not None and step.order is not None:
        return await execution.replayed(step)
    engine, budget = execution.engine, execution.budget
    now = engine.clock.now_ms()
    until_ms = step.until_ms if step is not None else None
    if until_ms is None:
        until_ms = now + int(seconds * 1000)
        execution.emit(
            StepStarted(key=key, kind="sleep", until_ms=until_ms, remaining_ms=budget.remaining_ms)
        )
        engine.arm_timer()
    await execution.wait_durably(key, until_ms, _passed(execution, until_ms))
    return await execution.complete(
        StepCompleted(key=key, value=None, remaining_ms=budget.remaining_ms)
    )


async def _passed(execution: Execution, until_ms: int) -> None:
    clock = execution.engine.clock
    while (left_ms := until_ms - clock.now_ms()) > 0:  # noqa: ASYNC110  # no event tells of it
        # Cut, so that a clock that is set is noticed as long as the run stays in memory.
        await asyncio.sleep(min(left_ms / 1000, execution.limits.park_seconds))
