"""What a user sees of runs: ends, tools, limits, cancelling, waiting."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

import pytest
from msgspec.structs import replace

from goldenpath.engine.answer import AnswerWriter
from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import ToolContext, agent, tool
from goldenpath.engine.execution import Execution
from goldenpath.engine.run import Run
from goldenpath.errors import ProviderUnavailableError, RefusedError, ToolFailedError
from goldenpath.model import commands
from goldenpath.model.ids import ApprovalId, RunId, ThreadId, UserId
from tests.engine.kit import LIMITS, USER, bench

pytestmark = pytest.mark.anyio

calls: list[str] = []


@tool(idempotent=True, retries=2)
async def flaky(context: ToolContext) -> str:
    calls.append(context.call_id)
    if len(calls) < 3:
        raise ConnectionError("secret detail")
    return "third time"


@tool(secret={"pin"})
def keep(pin: str, nested: dict[str, str]) -> dict[str, str]:
    return {"pin": pin, "Token": "t", "thread": threading.current_thread().name}


@tool(timeout=0.05)
async def stubborn() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()
    return "never"


@tool(timeout=0.05)
def blocking(release: str) -> str:
    gate.wait(5)
    return release


gate = threading.Event()


@tool(approval=True)
async def send_mail(to: str) -> str:
    calls.append(to)
    return "sent"


@tool
async def progress(context: ToolContext) -> int:
    context.progress("half", 0.5)
    await asyncio.sleep(0)
    return 1


@agent("scripted", tools=[flaky, keep, stubborn, blocking, send_mail, progress])
async def scripted(run: RunContext, message: str) -> str | None:
    match message:
        case "retry":
            return await run.call(flaky)
        case "secret":
            found = await run.call(keep, "1234", {"API_KEY": "k", "ok": "v"})
            return f"{found['pin']} {found['thread']}"
        case "stubborn" | "blocking":
            try:
                await (run.call(stubborn) if message == "stubborn" else run.call(blocking, "x"))
            except ToolFailedError as error:
                return f"{error.status}"
        case "mail":
            try:
                return await run.call(send_mail, "bob")
            except ToolFailedError as error:
                return f"{error.status}: {error.message}"
        case "progress":
            return str(await run.call(progress))
        case "raise":
            await run.write("half an ")
            raise ValueError("internal detail")
        case "provider":
            raise ProviderUnavailableError("503 from upstream")
        case "nothing":
            return None
        case "blank":
            return "   "
        case "both":
            await run.write("draft")
            run.report_usage(tokens=3)
            run.report_usage(tokens=4)
            return "final"
        case "wait":
            await asyncio.Event().wait()
        case "sleep":
            await run.sleep(0.3)
            return f"attempt {run.attempt}"
        case "history":
            return " / ".join(f"{m.role}: {m.text}" for m in run.history)
        case "surrogate":
            await run.write("\ud800")
        case "big":
            await run.write("x" * 200)
        case "parent":
            return await run.agent("scripted", "progress")
        case "deep":
            return await run.agent("scripted", "deep")
        case _:
            return message
    return None


AGENTS = [scripted]


async def test_retries_are_attempts_of_one_call() -> None:
    """A retried tool has one pair of events, its key is the same in every attempt."""
    calls.clear()
    async with bench(AGENTS) as b:
        end, events = await b.ask("retry")
        assert end["output"] == "third time"
        done = [e["data"] for e in events if e["type"] == "tool_completed"]
        assert [d["attempts"] for d in done] == [3]
        assert len(set(calls)) == 1 and calls[0] == done[0]["call_id"]


async def test_secrets_stay_out_of_events_and_reach_the_agent() -> None:
    async with bench(AGENTS) as b:
        end, events = await b.ask("secret")
        assert end["output"].startswith("1234 goldenpath-tool")
        shown = {e["type"]: e["data"] for e in events}
        assert shown["tool_executing"]["arguments"] == {
            "pin": "[redacted]",
            "nested": {"API_KEY": "[redacted]", "ok": "v"},
        }
        assert shown["tool_completed"]["result"]["Token"] == "[redacted]"


@pytest.mark.parametrize("which", ["stubborn", "blocking"])
async def test_a_body_that_does_not_stop_is_abandoned(which: str) -> None:
    """The run goes on, the body is counted, its late result reaches nobody."""
    gate.clear()
    async with bench(AGENTS) as b:
        end, _ = await b.ask(which)
        assert end["output"] == "timed_out"
        assert b.host.abandoned.total == 1
        gate.set()


async def test_denied_and_approved_tools() -> None:
    calls.clear()
    async with bench(AGENTS) as b:
        for number, decision in enumerate(("deny", "approve"), 1):
            settled = await b.send("mail")
            asked = await b.until("approval_requested", count=number)
            assert asked["arguments"] == {"to": "bob"}
            command = commands.Decide(
                approval_id=ApprovalId(asked["approval_id"]), decision=decision, reason="because"
            )
            await b.submit(command)
            end = await b.until("agent_completed", settled.receipt.run_id)
            expected = "sent" if decision == "approve" else "denied: because"
            assert end["output"] == expected
            with pytest.raises(RefusedError, match="already_decided"):
                await b.submit(command)
    assert calls == ["bob"]


async def test_an_approval_waits_in_no_memory_and_survives_a_restart() -> None:
    calls.clear()
    async with bench(AGENTS) as b:
        settled = await b.send("mail")
        asked = await b.until("approval_requested")
        while b.host.engines:
            await asyncio.sleep(0.01)
        assert b.host._slots == 0
        disk = b.disk
    async with bench(AGENTS, disk) as b:
        await b.submit(
            commands.Decide(approval_id=ApprovalId(asked["approval_id"]), decision="approve")
        )
        end = await b.until("agent_completed", settled.receipt.run_id)
        assert end["output"] == "sent"
        assert "agent_resumed" in b.types(settled.receipt.run_id)


async def test_progress_is_told() -> None:
    async with bench(AGENTS) as b:
        _, events = await b.ask("progress")
        assert [e["data"]["text"] for e in events if e["type"] == "tool_progress"] == ["half"]


@pytest.mark.parametrize(
    ("message", "status", "code", "output"),
    [
        ("raise", "failed", "agent_error", "half an "),
        ("provider", "failed", "provider_unavailable", ""),
        ("nothing", "failed", "empty_answer", ""),
        ("surrogate", "failed", "agent_error", ""),
    ],
)
async def test_failures_are_honest(message: str, status: str, code: str, output: str) -> None:
    """One terminal with a code; exception texts stay in the journal."""
    async with bench(AGENTS) as b:
        end, events = await b.ask(message)
        assert (end["status"], end["error"]["code"], end["output"]) == (status, code, output)
        assert end["partial"] is bool(output)
        assert events[-1]["type"] == "agent_completed"
        assert "detail" not in str(events)
        failures = [e for e in b.log() if e["type"] == "run_failure"]
        assert bool(failures) == (message != "nothing")


async def test_a_returned_text_replaces_what_was_written() -> None:
    async with bench(AGENTS) as b:
        end, events = await b.ask("both")
        assert end["output"] == "final" and end["usage"] == {"tokens": 7}
        pieces = [e["data"] for e in events if e["type"] == "agent_output"]
        assert [(p["text"], p["restart"]) for p in pieces][-1] == ("final", True)


async def test_cancel_and_deadline() -> None:
    async with bench(AGENTS, limits=replace(LIMITS, run_seconds=0.2)) as b:
        settled = await b.send("wait")
        await b.until("agent_started")
        assert settled.receipt.run_id is not None
        await b.submit(commands.Cancel(run_id=settled.receipt.run_id))
        end = await b.until("agent_completed", settled.receipt.run_id)
        assert end["status"] == "cancelled"
        with pytest.raises(RefusedError, match="run_ended"):
            await b.submit(commands.Cancel(run_id=settled.receipt.run_id))
        with pytest.raises(RefusedError, match="not_found"):
            await b.submit(commands.Cancel(run_id=RunId("no such run")))
        end, _ = await b.ask("wait")
        assert (end["status"], end["error"]["code"]) == ("timed_out", "deadline_exceeded")


async def test_a_sleep_spends_no_budget_and_survives() -> None:
    async with bench(AGENTS, limits=replace(LIMITS, run_seconds=0.2)) as b:
        end, events = await b.ask("sleep")
        assert end["status"] == "succeeded", end
        assert any(e["type"] == "agent_resumed" for e in events)


async def test_when_busy() -> None:
    async with bench(AGENTS) as b:
        first = await b.send("wait")
        thread = first.receipt.thread_id
        await b.until("agent_started", first.receipt.run_id)
        with pytest.raises(RefusedError, match="busy"):
            await b.send("x", thread_id=thread, when_busy="reject")
        queued = await b.send("queued", thread_id=thread)
        assert (await b.until("run_queued"))["reason"] == "thread_busy"
        urgent = await b.send("urgent", thread_id=thread, when_busy="interrupt")
        end = await b.until("agent_completed", queued.receipt.run_id)
        assert end["output"] == "queued"
        order = [e["run_id"] for e in b.events() if e["type"] == "agent_completed"]
        assert order == [r.receipt.run_id for r in (first, urgent, queued)]
        assert (await b.until("agent_completed", first.receipt.run_id))["status"] == "cancelled"


async def test_limits_of_a_user_hold_and_hurt_nobody_else() -> None:
    async with bench(AGENTS, limits=replace(LIMITS, runs_waiting=1)) as b:
        running = [await b.send("wait") for _ in range(LIMITS.runs_at_once)]
        waiting = await b.send("later")
        assert (await b.until("run_queued"))["reason"] == "user_limit"
        with pytest.raises(RefusedError, match="queue_full"):
            await b.send("too many")
        other = UserId("bob")
        settled = await b.send("hi", user=other)
        while not any(e["type"] == "agent_completed" for e in b.events(user=other)):
            await asyncio.sleep(0.01)
        assert settled.receipt.run_id
        assert running[0].receipt.run_id is not None
        await b.submit(commands.Cancel(run_id=running[0].receipt.run_id))
        assert (await b.until("agent_completed", waiting.receipt.run_id))["output"] == "later"


async def test_the_same_id_is_one_command() -> None:
    async with bench(AGENTS) as b:
        first, second = await asyncio.gather(b.send("hi", id="one"), b.send("hi", id="one"))
        assert first.receipt == second.receipt
        assert sorted([first.duplicate, second.duplicate]) == [False, True]
        with pytest.raises(RefusedError, match="id_reused"):
            await b.send("other", id="one")


async def test_rate_limit() -> None:
    async with bench(AGENTS, limits=replace(LIMITS, commands_per_minute=2)) as b:
        await b.send("a")
        await b.send("b")
        with pytest.raises(RefusedError, match="rate_limited"):
            await b.send("c")


async def test_history_is_what_ended_before() -> None:
    async with bench(AGENTS) as b:
        end, events = await b.ask("hello")
        thread = events[0]["thread_id"]
        end, _ = await b.ask("history", thread_id=thread)
        assert end["output"] == "user: hello / assistant: hello"


async def test_children_run_inside() -> None:
    async with bench(AGENTS) as b:
        end, events = await b.ask("parent")
        assert end["output"] == "1"
        started = [e for e in b.events() if e["type"] == "agent_started"]
        assert started[1]["data"]["parent_run_id"] == events[0]["run_id"]
        end, _ = await b.ask("deep")
        assert end["status"] == "failed"


async def test_answers_have_a_bound() -> None:
    async with bench(AGENTS, limits=replace(LIMITS, answer_bytes=100)) as b:
        end, _ = await b.ask("big")
        assert (end["status"], end["error"]["code"]) == ("failed", "agent_error")


async def test_deleting_a_thread_ends_its_runs_and_erases_it() -> None:
    async with bench(AGENTS) as b:
        _, events = await b.ask("tell nobody")
        thread = ThreadId(events[0]["thread_id"])
        await b.send("wait", thread_id=thread)
        await b.until("agent_started", count=2)
        await b.submit(commands.DeleteThread(thread_id=thread))
        assert "tell nobody" not in str(b.log())
        assert await b.host.store.history(UserId("ada"), thread, 10, None) is None
        with pytest.raises(RefusedError, match="not_found"):
            await b.send("again", thread_id=thread)


async def test_a_store_that_fails_refuses_and_recovers() -> None:
    async with bench(AGENTS) as b:
        await b.ask("one")
        b.disk.writable = False
        with pytest.raises(RefusedError, match="unavailable"):
            await b.send("two", id="two")
        b.disk.writable = True
        settled = await b.send("two", id="two")
        assert (await b.until("agent_completed", settled.receipt.run_id))["output"] == "two"


def test_a_tool_called_outside_of_a_run_is_its_function() -> None:
    assert time.time() > 0
    assert keep("1", {})["pin"] == "1"


async def test_what_a_run_raises_while_it_is_cancelled_is_not_reported_as_lost() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))

    @agent("raiser")
    async def raiser(run: RunContext, message: str) -> None:
        run._open().stop("cancelled")  # as a cancel that comes in the same turn of the loop
        raise ValueError("wrong")

    async with bench([raiser]) as it:
        end, _ = await it.ask("x")
        assert end["status"] == "cancelled"
    gc.collect()
    assert reported == []


async def test_a_run_whose_approval_comes_as_it_parks_goes_on() -> None:
    """The timer that parks it fires between the decision and the code that waits for it."""

    @agent("asker")
    async def asker(run: RunContext, message: str) -> str:
        return "yes" if await run.approve("May I?") else "no"

    async with bench([asker]) as it:
        sent = await it.send("x")
        asked = await it.until("approval_requested")
        engine = it.host._engines[USER]
        run = engine.runs[sent.receipt.run_id]
        execution = run.execution
        key = next(iter(run.journal.approvals.values())).key
        engine.resolve(run, key, asked["approval_id"], "approved", None)
        execution._park()
        end = await it.until("agent_completed")
        assert (end["status"], end["output"]) == ("succeeded", "yes")


async def test_a_run_leaves_no_reference_cycles() -> None:
    """They would wait for a collector that comes late, with an answer of megabytes each."""

    @agent("worker", tools=[flaky])
    async def worker(run: RunContext, message: str) -> None:
        await run.write("a" * 1000)
        await run.step("one", str)
        await run.call(flaky)
        await run.write("b" * 1000)

    def kept() -> set[type]:
        return {type(o) for o in gc.get_objects() if type(o) in (Execution, AnswerWriter, Run)}

    async with bench([worker]) as it:
        await it.ask("first")
        gc.collect()
        gc.disable()
        try:
            await it.ask("second")
            async with asyncio.timeout(10):  # the engine may be at its end still
                while kept():
                    await asyncio.sleep(0.01)
        finally:
            gc.enable()


async def test_a_run_taken_up_before_its_parking_is_durable_ends_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The attempt that parked hears of it when the next one has begun, and leaves it alone."""

    @agent("sleeper")
    async def sleeper(run: RunContext, message: str) -> str:
        await run.sleep(0.15)
        return "slept"

    async with bench([sleeper]) as b:
        run_id = (await b.send("sleep")).receipt.run_id
        while "step_started" not in (e["type"] for e in b.log()):
            await asyncio.sleep(0.001)
        b.disk.writable = False
        engine = b.host._engines[USER]
        run = next(iter(engine.runs.values()))
        while run.attempts < 2:
            engine.wake()
            await asyncio.sleep(0.01)
        engine.cancel(run, "user")
        b.disk.writable = True
        assert (await b.until("agent_completed", run_id))["status"] == "cancelled"
        again, _ = await b.ask("once more")
        assert again["output"] == "slept"
        assert b.types(run_id).count("agent_completed") == 1
        assert not [record for record in caplog.records if record.levelname == "ERROR"]
