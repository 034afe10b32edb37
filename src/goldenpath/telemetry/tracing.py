"""OpenTelemetry spans of runs, tools and steps; the one place that knows that package.

Each span is the current one while its code runs, so that what an instrumented HTTP client or model
SDK does there stands below it. They hold ids, names and codes: no text, no argument, no user.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context, attach
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, Status, StatusCode

from goldenpath.engine.ports import Attempt, Observer
from goldenpath.model.ids import CallId, RunId
from goldenpath.model.journal import StepKey

_RUNS_KNOWN = 10_000
"""Runs whose last attempt's span is known, for links and for children."""
_LEFT_OPEN = frozenset({"parked", "shutdown", "fenced"})
_NO_ERROR = frozenset({"ok", "succeeded", "cancelled", "interrupted", *_LEFT_OPEN})


def tracing() -> Observer | None:
    """An observer for the provider that the application has set; None if it has set none."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, trace.ProxyTracerProvider | trace.NoOpTracerProvider):
        return None
    return Tracing(provider.get_tracer("goldenpath"))


class Tracing(Observer):
    """Makes spans of what begins and ends; see the module."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._open: dict[object, Span] = {}
        self._runs: OrderedDict[RunId, SpanContext] = OrderedDict()

    def attempt_began(self, attempt: Attempt) -> None:
        # What started the engine (the request of some command, say) is no parent of its runs, so
        # that a root begins with a context that is empty.
        context = Context()
        parent = self._runs.get(attempt.parent_run_id) if attempt.parent_run_id else None
        if parent is not None:
            context = trace.set_span_in_context(NonRecordingSpan(parent), context)
        before = self._runs.get(attempt.run_id)
        span = self._tracer.start_span(
            f"run {attempt.agent}",
            context,
            attributes={
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": attempt.agent,
                "goldenpath.run_id": attempt.run_id,
                "goldenpath.thread_id": attempt.thread_id,
                "goldenpath.attempt": attempt.number,
            },
            links=() if before is None else (Link(before),),
        )
        self._enter(attempt, span, context)
        self._runs[attempt.run_id] = span.get_span_context()
        self._runs.move_to_end(attempt.run_id)
        if len(self._runs) > _RUNS_KNOWN:
            self._runs.popitem(last=False)

    def attempt_ended(self, attempt: Attempt, status: str, code: str | None) -> None:
        self._end(attempt, status, code)
        if status not in _LEFT_OPEN:
            self._runs.pop(attempt.run_id, None)

    def tool_began(self, run_id: RunId, call_id: CallId, tool: str) -> None:
        span = self._tracer.start_span(
            f"execute_tool {tool}",
            attributes={
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": tool,
                "gen_ai.tool.call.id": call_id,
                "goldenpath.run_id": run_id,
            },
        )
        self._enter(call_id, span)

    def tool_ended(self, call_id: CallId, status: str, attempts: int) -> None:
        self._end(call_id, status, None, {"goldenpath.attempts": attempts})

    def step_began(self, run_id: RunId, key: StepKey) -> None:
        # The key's name is `step` and the name that the agent gave.
        span = self._tracer.start_span(key.name, attributes={"goldenpath.run_id": run_id})
        self._enter((run_id, key), span)

    def step_ended(self, run_id: RunId, key: StepKey, status: str) -> None:
        self._end((run_id, key), status, None)

    def _enter(self, key: object, span: Span, context: Context | None = None) -> None:
        self._open[key] = span
        # Never detached: the context is the task's own, and ends with it.
        attach(trace.set_span_in_context(span, context))

    def _end(
        self, key: object, status: str, code: str | None, more: dict[str, Any] | None = None
    ) -> None:
        span = self._open.pop(key, None)
        if span is None:
            return  # it would be a mistake of ours, but no trace is worth a run
        span.set_attributes({"goldenpath.status": status, **(more or {})})
        if status not in _NO_ERROR:
            span.set_attribute("error.type", code or status)
            span.set_status(Status(StatusCode.ERROR, code or status))
        span.end()
