"""A user is erased while runs go on, commands come in, and hosts change."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, agent
from goldenpath.engine.host import EngineHost
from goldenpath.errors import RefusedError
from goldenpath.model import commands
from goldenpath.model.ids import CommandId
from goldenpath.store.interface import Append
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore
from tests.engine.kit import LIMITS, USER, Bench, bench, kill

pytestmark = pytest.mark.anyio

gates: dict[str, asyncio.Event] = {}


@agent("stubborn")
async def stubborn(run: RunContext, message: str) -> str:
    """Ends only when the test lets it, though it was cancelled."""
    if message.startswith("hold"):
        await run.think("holding")
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await gates["go"].wait()
            raise
    return message


@pytest.fixture(autouse=True)
def shut() -> None:
    gates["go"] = asyncio.Event()


async def forgetting(b: Bench) -> asyncio.Task[object]:
    """A run is in memory, was cancelled by the erasure, and holds it up."""
    await b.send("hold me")
    await b.until("agent_thinking")
    forget = asyncio.create_task(b.submit(commands.Forget()))
    while "cancel_requested" not in str(b.log()):
        await asyncio.sleep(0.001)
    return forget


async def test_forget_erases_what_was_said_before() -> None:
    async with bench([stubborn]) as b:
        gates["go"].set()
        await b.ask("remember me")
        await b.send("hold me")
        await b.submit(commands.Forget())
        assert "me" not in [e["data"].get("text") for e in b.log()]
        assert "remember" not in str(b.log())
        end, _ = await b.ask("new life")
        assert end["output"] == "new life"


async def test_what_was_asked_just_before_is_erased_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench([stubborn]) as b:
        append = b.host.store.append

        async def slow(one: Append) -> None:
            await asyncio.sleep(0.02)
            await append(one)

        monkeypatch.setattr(b.host.store, "append", slow)
        # While the first is on its way the next ones come together, as they would in one append.
        first = asyncio.create_task(b.submit(commands.CreateThread(title="one")))
        await asyncio.sleep(0.01)
        await asyncio.gather(
            b.submit(commands.CreateThread(title="my secret")), b.submit(commands.Forget()), first
        )
        assert [entry["type"] for entry in b.log()] == ["command_settled"]
        assert len(b.disk.users[USER].rows.receipts) == 3


async def test_what_is_sent_while_it_is_erased_is_run_afterwards() -> None:
    patient = replace(LIMITS, linger_seconds=60.0)
    async with bench([stubborn], limits=patient) as b:
        forget = await forgetting(b)
        late = asyncio.create_task(b.send("said later"))
        await asyncio.sleep(0.02)
        assert not forget.done() and not late.done()
        gates["go"].set()
        await forget
        run_id = (await late).receipt.run_id
        end = await b.until("agent_completed", run_id)
        assert (end["status"], end["output"]) == ("succeeded", "said later")
        assert "hold" not in str(b.log())


async def test_an_erasure_survives_the_process() -> None:
    disk = Disk()
    async with bench([stubborn], disk) as b:
        forget = await forgetting(b)
        gates["go"].set()
        await kill(b)
        forget.cancel()
    async with bench([stubborn], disk) as b:
        while disk.users[USER].inbox:
            await asyncio.sleep(0.001)
        assert "hold" not in str(b.log()) and disk.users[USER].rows.runs == {}


async def test_any_host_may_be_asked() -> None:
    """The one that has the user's lease finds the request where every command waits."""
    disk = Disk()
    store = MemoryStore(disk, lease_seconds=30)
    async with bench([stubborn], disk) as b:
        gates["go"].set()
        await b.send("hold me")
        await b.until("agent_thinking")
        other = EngineHost(store, AgentRegistry([stubborn]), limits=LIMITS)
        async with other.running(), asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            asked = tasks.create_task(other.submit(USER, CommandId("f"), commands.Forget()))
            while not asked.done():
                b.host.wake(USER)  # as its scan does each second
                await asyncio.sleep(0.01)
        assert "hold" not in str(b.log())


async def test_a_fenced_engine_leaves_the_erasure_to_the_next_one() -> None:
    async with bench([stubborn]) as b:
        forget = await forgetting(b)
        b.host._engines[USER].outbox.close()
        gates["go"].set()
        await forget
        assert "hold" not in str(b.log())


async def test_an_erasure_that_cannot_be_stored_is_refused_and_done_later() -> None:
    async with bench([stubborn]) as b:
        gates["go"].set()
        await b.ask("remember me")
        b.disk.writable = False
        with pytest.raises(RefusedError, match="unavailable"):
            await b.host.submit(USER, CommandId("f"), commands.Forget())
        b.disk.writable = True
        await b.host.submit(USER, CommandId("f"), commands.Forget())
        again = await b.host.submit(USER, CommandId("f"), commands.Forget())
        assert again.duplicate and "remember" not in str(b.log())
