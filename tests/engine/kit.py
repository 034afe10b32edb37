"""A host over a store in memory, and what its user sees."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from goldenpath.engine.definitions import Agent, AgentRegistry
from goldenpath.engine.host import EngineHost, Settled
from goldenpath.engine.limits import Limits
from goldenpath.model import commands
from goldenpath.model.ids import CommandId, RunId, ThreadId, UserId
from goldenpath.model.views import RunRow
from goldenpath.store.verify import verify
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore

USER = UserId("ada")
LIMITS = Limits(
    park_seconds=0.05,
    linger_seconds=0.2,
    cancel_seconds=0.1,
    stall_seconds=0.3,
    run_seconds=5.0,
    coalesce_seconds=0.01,
)


class Bench:
    """One process: a host on a disk that outlives it."""

    def __init__(self, host: EngineHost, disk: Disk) -> None:
        self.host = host
        self.disk = disk
        self._number = 0

    async def send(self, text: str, *, user: UserId = USER, **options: Any) -> Settled:
        self._number += 1
        thread = options.pop("thread_id", None)
        command_id = options.pop("id", f"c{self._number}-{id(self)}")
        command = commands.Send(
            thread_id=None if thread is None else ThreadId(thread), text=text, **options
        )
        return await self.host.submit(user, CommandId(command_id), command)

    async def submit(self, command: commands.AnyCommand, user: UserId = USER) -> Settled:
        self._number += 1
        return await self.host.submit(user, CommandId(f"x{self._number}-{id(self)}"), command)

    def log(self, user: UserId = USER) -> list[dict[str, Any]]:
        return [json.loads(e.json) for e in self.disk.log(user) if e.json]

    def events(self, run_id: str | None = None, user: UserId = USER) -> list[dict[str, Any]]:
        shown = [json.loads(e.json) for e in self.disk.log(user) if not e.hidden]
        return [e for e in shown if run_id is None or e["run_id"] == run_id]

    def types(self, run_id: str | None = None) -> list[str]:
        return [e["type"] for e in self.events(run_id)]

    async def until(self, type_: str, run_id: str | None = None, count: int = 1) -> dict[str, Any]:
        """Wait for the `count`th event of a type, and give its data."""
        watch = self.host.store.watch(USER)
        try:
            async with asyncio.timeout(10):
                while True:
                    found = [e for e in self.events(run_id) if e["type"] == type_]
                    if len(found) >= count:
                        return found[count - 1]["data"]
                    await watch.wait()
        finally:
            watch.close()

    async def row(self, run_id: str | None, **wanted: Any) -> RunRow:
        """Wait until the run's row has these fields, and give it."""
        watch = self.host.store.watch(USER)
        try:
            async with asyncio.timeout(10):
                while True:
                    row = await self.host.store.run(USER, RunId(run_id or ""))
                    if row is not None and all(getattr(row, k) == v for k, v in wanted.items()):
                        return row
                    await watch.wait()
        finally:
            watch.close()

    async def ask(self, text: str, **options: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """Send, wait for the end: (data of the terminal, all events of the run)."""
        settled = await self.send(text, **options)
        end = await self.until("agent_completed", settled.receipt.run_id)
        return end, self.events(settled.receipt.run_id)


@asynccontextmanager
async def bench(
    agents: Sequence[Agent], disk: Disk | None = None, limits: Limits = LIMITS
) -> AsyncIterator[Bench]:
    """A running host; when left, what is in memory is parked as at a shutdown."""
    disk = disk or Disk()
    host = EngineHost(MemoryStore(disk), AgentRegistry(agents), limits=limits)
    async with host.running():
        yield Bench(host, disk)
    assert await verify(MemoryStore(disk)) == []


async def kill(bench_: Bench) -> None:
    """End the process without a word: its tasks go on to nothing, its store is dead."""
    store = bench_.host.store
    assert isinstance(store, MemoryStore)
    store.dead = True
    tasks = list(bench_.host._tasks.values())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
