"""When the engine looks into the inbox."""

from __future__ import annotations

import asyncio

import pytest

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, agent, tool
from goldenpath.engine.host import EngineHost
from goldenpath.errors import RefusedError
from goldenpath.model.ids import UserId
from goldenpath.store.interface import Append, PendingCommand
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore
from tests.engine.kit import LIMITS, Bench

pytestmark = pytest.mark.anyio


class CountingStore(MemoryStore):
    """Counts reads of the inbox; an append that refuses is answered when it may be."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk)
        self.reads = 0
        self.refused = asyncio.Event()
        self.answering = asyncio.Event()

    async def pending(self, user: UserId) -> list[PendingCommand]:
        self.reads += 1
        return await super().pending(user)

    async def append(self, append: Append) -> None:
        await super().append(append)
        if append.refused:
            self.refused.set()
            await self.answering.wait()


@tool
async def look(number: int) -> int:
    return number


@agent("steps", tools=[look])
async def steps(run: RunContext, message: str) -> str:
    return str([await run.call(look, number) for number in range(5)])


gate = asyncio.Event()


@agent("held")
async def held(run: RunContext, message: str) -> str:
    await gate.wait()
    return message


async def test_the_inbox_is_read_for_commands_and_not_for_what_runs_do() -> None:
    store = CountingStore(Disk())
    host = EngineHost(store, AgentRegistry([steps]), limits=LIMITS)
    async with host.running():
        bench = Bench(host, store.disk)
        for count in (1, 2):
            await bench.ask("go")
            assert store.reads == count


async def test_a_command_sent_again_before_its_refusal_was_heard_of_is_taken() -> None:
    gate.clear()
    store = CountingStore(Disk())
    host = EngineHost(store, AgentRegistry([held]), limits=LIMITS)
    async with host.running():
        bench = Bench(host, store.disk)
        thread = (await bench.send("first")).receipt.thread_id
        again = {"id": "again", "thread_id": thread, "when_busy": "reject"}
        sent = [asyncio.create_task(bench.send("second", **again))]
        await store.refused.wait()
        sent.append(asyncio.create_task(bench.send("second", **again)))
        while store.reads < 3:  # the second one's wake-up: the command is taken already
            await asyncio.sleep(0)
        store.refused.clear()
        store.answering.set()
        async with asyncio.timeout(5):
            await store.refused.wait()  # once more, while the run that keeps it busy goes on
        for answer in await asyncio.gather(*sent, return_exceptions=True):
            assert isinstance(answer, RefusedError)
            assert answer.code == "busy"
        gate.set()
