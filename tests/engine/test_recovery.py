"""Killed processes, changed code, poisoned runs: what the next process makes of them."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from msgspec.structs import replace

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, ToolContext, agent, tool
from goldenpath.engine.host import EngineHost
from goldenpath.errors import ToolFailedError
from goldenpath.model import commands
from goldenpath.model.ids import HostId, Mark, RunId, Seq, UserId
from goldenpath.store.interface import Activation
from goldenpath.testing.memory_store import MemoryStore
from tests.engine.kit import LIMITS, USER, Bench, bench, kill

pytestmark = pytest.mark.anyio

entered: Counter[str] = Counter()
hold = asyncio.Event


class Gate:
    """Bodies wait here until the process is killed."""

    closed = True


async def pass_gate() -> None:
    while Gate.closed:
        await asyncio.sleep(0.005)


@tool
async def charge(context: ToolContext) -> int:
    entered["charge"] += 1
    await pass_gate()
    return 7


@tool(idempotent=True)
async def lookup(context: ToolContext) -> str:
    entered[context.call_id] += 1
    await pass_gate()
    return context.call_id


@tool
async def quick(n: int) -> int:
    entered[f"quick{n}"] += 1
    return n * 2


def make(version: str = "1", recover: str = "replay", twist: str = ""):  # noqa: ANN201
    @agent("worker", tools=[charge, lookup, quick], version=version, recover=recover)  # type: ignore[arg-type]
    async def worker(run: RunContext, message: str) -> str:
        if twist == "other tool first":
            await run.call(quick, 99)
        if twist == "fewer steps":
            return "short"
        await run.think("step one")
        doubled = await run.call(quick, 1)
        await run.write(f"Doubled {'to' if twist else 'is'} {doubled}. ")
        match message:
            case "charge":
                try:
                    await run.call(charge)
                except ToolFailedError as error:
                    await run.write(f"Charge {error.status}.")
            case "lookup":
                await run.write("Looked up " + await run.call(lookup))
            case "poison":
                await pass_gate()
                await run.write("never")
            case _:
                await pass_gate()
                await run.write("Done.")
        return "".join([])  # what was written is the answer

    return worker


async def killed(message: str, until: str):  # noqa: ANN201
    """Ask, wait for an event, kill; gives the disk and the run."""
    Gate.closed = True
    async with bench([make()]) as b:
        settled = await b.send(message)
        await b.until(until, settled.receipt.run_id, count=2 if until == "tool_executing" else 1)
        await asyncio.sleep(0.05)
        await kill(b)
        disk = b.disk
    Gate.closed = False
    return disk, settled.receipt.run_id


@pytest.mark.parametrize("message", ["plain", "lookup", "charge"])
async def test_a_killed_run_goes_on_from_its_journal(message: str) -> None:
    """Finished tools are not called again, an ambiguous one is called only if it may be."""
    entered.clear()
    disk, run_id = await killed(
        message, "tool_completed" if message == "plain" else "tool_executing"
    )
    async with bench([make()], disk) as b:
        end = await b.until("agent_completed", run_id)
        types = b.types(run_id)
        assert end["status"] == "succeeded", (end, b.log())
        assert types.count("agent_resumed") == 1 and types.count("agent_thinking") == 1
        assert entered["quick1"] == 1
        text = "".join(e["data"]["text"] for e in b.events(run_id) if e["type"] == "agent_output")
        assert text == end["output"]
        if message == "charge":
            assert entered["charge"] == 1
            assert end["output"] == "Doubled is 2. Charge interrupted."
        if message == "lookup":
            (call_id, times), *_ = [(k, v) for k, v in entered.items() if not k.startswith("quick")]
            assert times == 2 and call_id in end["output"]


async def test_text_that_differs_restarts_its_part() -> None:
    disk, run_id = await killed("plain", "agent_output")
    async with bench([make(twist="text")], disk) as b:
        end = await b.until("agent_completed", run_id)
        assert end["output"] == "Doubled to 2. Done."
        assert any(e["data"].get("restart") for e in b.events(run_id))


@pytest.mark.parametrize(
    ("version", "twist", "code"),
    [
        ("1", "other tool first", "nondeterministic"),
        ("2", "other tool first", "code_changed"),
        ("1", "fewer steps", "nondeterministic"),
    ],
)
async def test_code_that_asks_for_something_else_fails_the_run(
    version: str, twist: str, code: str
) -> None:
    entered.clear()
    disk, run_id = await killed("plain", "tool_completed")
    async with bench([make(version, twist=twist)], disk) as b:
        end = await b.until("agent_completed", run_id)
        assert (end["status"], end["error"]["code"]) == ("failed", code)
        assert entered["quick99"] == 0
        detail = next(e["data"]["detail"] for e in b.log() if e["type"] == "run_failure")
        assert "quick" in detail


async def test_recover_fail_is_not_replayed() -> None:
    Gate.closed = True
    async with bench([make(recover="fail")]) as b:
        settled = await b.send("plain")
        await b.until("tool_completed", settled.receipt.run_id)
        await kill(b)
    async with bench([make(recover="fail")], b.disk) as b2:
        end = await b2.until("agent_completed", settled.receipt.run_id)
        assert (end["status"], end["error"]["code"]) == ("failed", "crashed")


async def test_a_poisoned_run_ends_after_three_deaths_and_harms_no_other() -> None:
    Gate.closed = True
    disk, run_id = None, None
    for death in range(3):
        async with bench([make()], disk) as b:
            if run_id is None:
                run_id = (await b.send("poison")).receipt.run_id
                await b.until("tool_completed", run_id)
            else:
                await b.until("agent_resumed", run_id, count=death)
            await kill(b)
            disk = b.disk
    Gate.closed = False
    async with bench([make()], disk) as b:
        end = await b.until("agent_completed", run_id)
        assert (end["status"], end["error"]["code"]) == ("failed", "crashed")
        other, _ = await b.ask("plain")
        assert other["status"] == "succeeded"


async def test_an_agent_that_is_gone_ends_its_runs() -> None:
    disk, run_id = await killed("plain", "tool_completed")

    @agent("another")
    async def another(run: RunContext, message: str) -> str:
        return message

    async with bench([another], disk) as b:
        end = await b.until("agent_completed", run_id)
        assert (end["status"], end["error"]["code"]) == ("failed", "code_changed")


async def test_a_shutdown_is_no_death() -> None:
    Gate.closed = True
    async with bench([make()]) as b:
        run_id = (await b.send("plain")).receipt.run_id
        await b.until("tool_completed", run_id)
    assert b.types(run_id)[-1] != "agent_completed"
    Gate.closed = False
    async with bench([make()], b.disk) as b2:
        end = await b2.until("agent_completed", run_id)
        resumed = next(e["data"] for e in b2.events(run_id) if e["type"] == "agent_resumed")
        assert end["status"] == "succeeded" and resumed["reason"] == "shutdown"


async def test_a_run_of_a_stopped_process_is_resuming_until_it_goes_on() -> None:
    Gate.closed = True
    async with bench([make()]) as b:
        run_id = (await b.send("plain")).receipt.run_id
        await b.until("tool_completed", run_id)
        await b.row(run_id, status="running", parked=None)
    await b.row(run_id, status="resuming", parked="shutdown")
    async with bench([make()], b.disk) as b2:
        await b2.row(run_id, status="running", parked=None, attempts=2)
        Gate.closed = False
        await b2.row(run_id, status="succeeded", deaths=0)


async def test_a_killed_run_that_must_wait_for_its_place_is_resuming() -> None:
    """A dead process writes nothing; the next engine says so of what it cannot take up at once."""
    Gate.closed = True
    async with bench([make()]) as b:
        runs = [(await b.send("plain")).receipt.run_id for _ in range(2)]
        for run_id in runs:
            await b.until("tool_completed", run_id)
        await kill(b)
    for run_id in runs:
        assert (await MemoryStore(b.disk).run(USER, RunId(run_id or ""))).status == "running"  # type: ignore[union-attr]
    one_place = replace(LIMITS, runs_at_once=1)
    async with bench([make()], b.disk, one_place) as b2:
        await b2.row(runs[0], status="running", attempts=2)
        await b2.row(runs[1], status="resuming", parked="crash", attempts=1)
        await kill(b2)
    # It waited when that process died, too: no further death of it.
    async with bench([make()], b.disk, one_place) as b3:
        await b3.row(runs[0], status="running", attempts=3, deaths=2)
        waits = await b3.row(runs[1], status="resuming", attempts=1, deaths=0)
        Gate.closed = False
        for run_id in runs:
            assert (await b3.row(run_id, status="succeeded")).last_seq
        assert [e["data"] for e in b3.events(runs[1]) if e["type"] == "agent_resumed"] == [
            {"attempt": 2, "reason": "crash"}
        ]
        assert waits.parked == "crash"
        parked = [e["run_id"] for e in b3.log() if e["type"] == "run_parked"]
        assert parked == [runs[1]], "it is said once"


async def test_a_run_that_is_held_back_can_be_cancelled() -> None:
    Gate.closed = True
    async with bench([make()]) as b:
        runs = [(await b.send("charge")).receipt.run_id for _ in range(2)]
        for run_id in runs:
            await b.until("tool_executing", run_id, count=2)
        await kill(b)
    async with bench([make()], b.disk, replace(LIMITS, runs_at_once=1)) as b2:
        held = await b2.row(runs[1], status="resuming")
        await b2.submit(commands.Cancel(run_id=held.run_id))
        await b2.row(runs[1], status="cancelled")
        Gate.closed = False


async def test_a_run_that_cannot_be_replayed_is_never_resuming() -> None:
    """At a shutdown nothing says that it goes on; the next process ends it."""
    Gate.closed = True
    async with bench([make(recover="fail")]) as b:
        run_id = (await b.send("plain")).receipt.run_id
        await b.until("tool_completed", run_id)
    await b.row(run_id, status="running", parked=None)
    async with bench([make(recover="fail")], b.disk) as b2:
        ended = await b2.row(run_id, status="failed")
        assert ended.error is not None and ended.error.code == "crashed"


async def test_a_log_that_cannot_be_applied_is_quarantined() -> None:
    disk, run_id = await killed("plain", "tool_completed")
    record = disk.user("ada")  # type: ignore[arg-type]
    index = next(i for i, e in enumerate(record.entries) if e.type == "agent_started")
    entry = record.entries[index]
    record.entries[index] = type(entry)(entry.seq, entry.type, entry.internal, b'{"broken"')
    host_disk = disk
    from goldenpath.engine.definitions import AgentRegistry
    from goldenpath.engine.host import EngineHost
    from tests.engine.kit import Bench

    host = EngineHost(MemoryStore(host_disk), AgentRegistry([make()]), limits=LIMITS)
    async with host.running():
        b = Bench(host, host_disk)
        async with asyncio.timeout(5):
            while "ada" not in host.quarantine:
                await asyncio.sleep(0.01)
        other = await b.send("plain", user="bob")  # type: ignore[arg-type]
        assert other.receipt.run_id
    assert run_id


async def test_a_store_that_has_lost_its_last_commits_locks_nobody_out() -> None:
    """As a failover can: the lease was given by the one before, the log is read from the next."""

    class Lossy(MemoryStore):
        acquired = 0

        async def acquire(self, user: UserId, host: HostId, mark: Mark) -> Activation:
            self.acquired += 1
            activation = await super().acquire(user, host, mark)
            lost = 7 if self.acquired == 2 else 0
            return replace(activation, head=Seq(activation.head + lost))

    @agent("sleeper")
    async def sleeper(run: RunContext, message: str) -> str:
        await run.sleep(0.6)  # its engine leaves meanwhile
        return "slept"

    store = Lossy()
    host = EngineHost(store, AgentRegistry([sleeper]), limits=LIMITS)
    async with host.running():
        it = Bench(host, store.disk)
        end, _ = await it.ask("x")
    assert end["output"] == "slept"
    assert store.acquired > 2 and not host.quarantine
