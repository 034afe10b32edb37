"""Spans of runs, tools and steps: what is below what, what is current, and what is not in them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from goldenpath import App, RunContext, ToolContext, ToolFailed, agent, tool
from goldenpath.engine.ports import Observer
from goldenpath.telemetry.metrics import Metrics
from goldenpath.telemetry.observers import Observers
from goldenpath.testing import AppServer, FakeClock

SECRET = "marzipan-7391"


def inner(name: str) -> None:
    """What an instrumented client of the application's own does."""
    with trace.get_tracer("application").start_as_current_span(name):
        pass


@tool
async def look(query: str) -> str:
    """Asynchronous."""
    await asyncio.sleep(0)
    inner("http in look")
    return query


@tool
def count(query: str) -> int:
    """Synchronous: in a thread of its own."""
    inner("http in count")
    return len(query)


tries: list[str] = []


@tool(idempotent=True, retries=2)
async def shaky(query: str, context: ToolContext) -> str:
    """Works the third time."""
    inner("http in shaky")
    tries.append(context.call_id)
    if len(tries) % 3:
        raise ValueError(f"not yet {query}")
    return query


@tool
async def broken(query: str) -> str:
    """Fails, and says of what."""
    raise ValueError(query)


def ask_model(prompt: str) -> str:
    """A model's SDK, say."""
    inner("http in model")
    return prompt.upper()


async def fail_model(prompt: str) -> str:
    """One that is down."""
    raise ConnectionError(prompt)


@agent("worker", tools=[look, count, shaky, broken])
async def worker(run: RunContext, message: str) -> str | None:
    """Does one of everything."""
    inner("http in worker")
    found = await run.call(look, query=message)
    async with asyncio.TaskGroup() as tasks:
        for body in (run.call(count, query=message), run.step("model", ask_model, message)):
            tasks.create_task(body)  # type: ignore[arg-type]
    return found


@agent("boss")
async def boss(run: RunContext, message: str) -> str | None:
    """Has a worker."""
    return await run.agent("worker", message)


@agent("unlucky", tools=[broken, shaky])
async def unlucky(run: RunContext, message: str) -> str | None:
    """Everything fails."""
    await run.call(shaky, query=message)
    for work in (run.call(broken, query=message), run.step("down", fail_model, message)):
        try:
            await work
        except ToolFailed:
            pass
    raise RuntimeError(message)


@agent("patient", tools=[look])
async def patient(run: RunContext, message: str) -> str | None:
    """Goes on after a day."""
    await run.call(look, query="before")
    await run.sleep(86_400)
    await run.call(look, query="after")
    return message


@agent("asking")
async def asking(run: RunContext, message: str) -> str | None:
    """Waits for its user."""
    return "yes" if await run.approve("Really?") else "no"


AGENTS = [worker, boss, unlucky, patient, asking]


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """An application that has set a provider."""
    provider, exporter = TracerProvider(), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


class Tree:
    """Finished spans by name."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.spans = exporter.get_finished_spans()
        self._by_id = {span.context.span_id: span for span in self.spans}

    def all(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.all(name)
        return span

    def path(self, span: ReadableSpan) -> list[str]:
        """Names from the root to it."""
        above = None if span.parent is None else self._by_id[span.parent.span_id]
        return [*([] if above is None else self.path(above)), span.name]

    def paths(self) -> set[tuple[str, ...]]:
        return {tuple(self.path(span)) for span in self.spans}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.fixture
def server(exporter: InMemorySpanExporter) -> Iterator[AppServer]:
    with AppServer(App(agents=AGENTS)) as running:
        yield running


def test_what_the_application_s_own_clients_do_stands_where_it_is_done(
    server: AppServer, exporter: InMemorySpanExporter
) -> None:
    """Below the tool, in a thread too; below the step; below the run."""
    answer = server.ask("ada", SECRET, agent="worker")
    tree = Tree(exporter)
    run = "run worker"
    assert tree.paths() == {
        (run,),
        (run, "http in worker"),
        (run, "execute_tool look"),
        (run, "execute_tool look", "http in look"),
        (run, "execute_tool count"),
        (run, "execute_tool count", "http in count"),
        (run, "step model"),
        (run, "step model", "http in model"),
    }
    assert attributes(tree.one(run)) == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "worker",
        "goldenpath.run_id": answer.run_id,
        "goldenpath.thread_id": answer.thread_id,
        "goldenpath.attempt": 1,
        "goldenpath.status": "succeeded",
    }
    called = next(e.body for e in answer.events if getattr(e.body, "tool", None) == "look")
    assert attributes(tree.one("execute_tool look")) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.call.id": called.call_id,  # type: ignore[union-attr]
        "goldenpath.run_id": answer.run_id,
        "goldenpath.attempts": 1,
        "goldenpath.status": "ok",
    }


def test_child_runs_stand_below_their_parents(
    server: AppServer, exporter: InMemorySpanExporter
) -> None:
    server.ask("ada", "hello", agent="boss")
    tree = Tree(exporter)
    assert tree.path(tree.one("execute_tool count")) == [
        "run boss", "run worker", "execute_tool count",
    ]  # fmt: skip


def test_a_span_has_the_code_of_an_error_and_no_text(
    server: AppServer, exporter: InMemorySpanExporter
) -> None:
    answer = server.ask("ada-lovelace", SECRET, agent="unlucky")
    assert answer.status == "failed"
    tree = Tree(exporter)
    for name, code in (
        ("run unlucky", "agent_error"), ("execute_tool broken", "error"), ("step down", "error"),
    ):  # fmt: skip
        span = tree.one(name)
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, code)
        assert attributes(span)["error.type"] == code
    assert tree.one("execute_tool shaky").status.status_code is StatusCode.UNSET
    assert attributes(tree.one("execute_tool shaky"))["goldenpath.attempts"] == 3
    assert len(tree.all("http in shaky")) == 3
    shown = "".join(span.to_json() for span in tree.spans)
    assert SECRET not in shown and "ada-lovelace" not in shown


def test_a_resumed_attempt_is_linked_to_the_one_before(exporter: InMemorySpanExporter) -> None:
    """What is replayed ran once, and has one span."""
    clock = FakeClock()
    with AppServer(App(agents=AGENTS, limit_park=0.01), clock=clock) as server:
        started = server.start("ada", "done", agent="patient")
        while not Tree(exporter).all("run patient"):
            server.call(asyncio.sleep(0))
        clock.advance(86_401)
        assert started.result().output == "done"
    tree = Tree(exporter)
    first, second = tree.all("run patient")
    assert attributes(first)["goldenpath.status"] == "parked"
    assert attributes(second)["goldenpath.status"] == "succeeded"
    assert attributes(second)["goldenpath.attempt"] == 2
    assert not first.links
    assert [link.context for link in second.links] == [first.context]
    assert first.context.trace_id != second.context.trace_id
    before, after = tree.all("execute_tool look")
    assert before.parent is not None and before.parent.span_id == first.context.span_id
    assert after.parent is not None and after.parent.span_id == second.context.span_id


def test_after_a_restart_a_run_goes_on_in_a_span_of_its_own(
    exporter: InMemorySpanExporter,
) -> None:
    with AppServer(App(agents=AGENTS)) as server:
        started = server.start("ada", "hello", agent="asking")
        while True:
            runs = server.call(_approvals(server, started.thread_id))
            if runs:
                break
        server.restart()
        server.call(_decide(server, runs[0]))
        assert started.result().output == "yes"
    first, second = Tree(exporter).all("run asking")
    assert attributes(first)["goldenpath.status"] in ("shutdown", "parked")
    assert attributes(second)["goldenpath.attempt"] == 2
    assert not second.links, "another process would not know it"


async def _approvals(server: AppServer, thread_id: str) -> list[str]:
    assembly = server._app._assembly
    assert assembly is not None
    history = await assembly.host.store.history("ada", thread_id, 10, None)  # type: ignore[arg-type]
    return [a.approval_id for run in (history.open_runs if history else []) for a in run.approvals]


async def _decide(server: AppServer, approval_id: str) -> None:
    async with server.client("ada") as client:
        await client.decide(approval_id, "approve")


def test_users_do_not_share_a_trace(server: AppServer, exporter: InMemorySpanExporter) -> None:
    started = [server.start(user, "hello", agent="worker") for user in ("ada", "bob", "cy", "ada")]
    for one in started:
        one.result()
    tree = Tree(exporter)
    runs = tree.all("run worker")
    assert len({run.context.trace_id for run in runs}) == 4
    for run in runs:
        of_run = [s for s in tree.spans if s.context.trace_id == run.context.trace_id]
        assert len(of_run) == 8
        ids = {attributes(s).get("goldenpath.run_id") for s in of_run} - {None}
        assert ids == {attributes(run)["goldenpath.run_id"]}


async def _observer(app: App) -> bool:
    assembly = app._assembly
    assert assembly is not None
    return assembly.host.observer is assembly.telemetry


def test_without_a_provider_there_is_nothing_but_the_metrics() -> None:
    with AppServer(app := App(agents=AGENTS)) as server:
        assert server.call(_observer(app))
        assert server.ask("ada", "hello", agent="worker").output == "hello"


def test_without_the_package_there_is_nothing_but_the_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in [one for one in sys.modules if one.partition(".")[0] == "opentelemetry"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "goldenpath.telemetry.tracing", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with AppServer(app := App(agents=[boss, worker])) as server:
        assert server.call(_observer(app))


def test_several_observers_hear_what_each_wants_to_hear() -> None:
    heard: list[str] = []

    class Ear(Observer):
        def sockets(self, count: int) -> None:
            heard.append(f"{count} sockets")

        def answer_delivered(self) -> None:
            heard.append("delivered")

    metrics = Metrics()
    both = Observers(metrics, Ear())
    both.sockets(2)
    both.answer_delivered()
    both.engines(7)  # nobody wants it
    both.answer_produced()
    assert heard == ["2 sockets", "delivered"]
    page = metrics.render().decode()
    assert "goldenpath_sockets 2.0" in page
    assert "goldenpath_answers_delivered_total 1.0" in page
    assert "goldenpath_answers_produced_total 1.0" in page
