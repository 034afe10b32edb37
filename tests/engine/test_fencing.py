"""A host whose lease went to another one: nothing of it is written, and no tool's body begins."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, agent, tool
from goldenpath.engine.host import EngineHost
from goldenpath.engine.limits import Limits
from goldenpath.errors import StoreUnavailableError
from goldenpath.model import commands
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import CommandId, HostId, Mark, Seq, UserId
from goldenpath.store.interface import Append, HostReport, Pulse
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore

pytestmark = pytest.mark.anyio

USER = UserId("ann")
entered: list[str] = []
gates: dict[str, asyncio.Event] = {}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@tool
async def touch(name: str) -> str:
    """Notes that its body was entered."""
    entered.append(name)
    return name


@agent("held", tools=[touch])
async def held(run: RunContext, message: str) -> str | None:
    """Waits for the test before it calls its tool."""
    await run.think("waiting")
    gates["waits"].set()
    await gates["go"].wait()
    return await run.call(touch, name=message)


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


@asynccontextmanager
async def before_its_tool(store: MemoryStore) -> AsyncIterator[EngineHost]:
    """A host whose one run is durable up to where it waits for the test."""
    entered.clear()
    gates.update(waits=asyncio.Event(), go=asyncio.Event())
    host = EngineHost(store, AgentRegistry([held]), limits=Limits(linger_seconds=0.05))
    async with host.running():
        await host.submit(USER, CommandId("c1"), commands.Send(text="x", thread_id=None))
        await gates["waits"].wait()
        await until(lambda: "waiting" in repr(store.disk.users[USER].entries))
        yield host


async def test_a_fenced_engine_writes_nothing_and_enters_no_tool() -> None:
    store = MemoryStore()
    async with before_its_tool(store) as host:
        # Another host takes the user over, as after a pause that outlived the lease.
        record = store.disk.users[USER]
        before = record.head
        await store.release(USER, record.epoch)
        taken = await store.acquire(USER, HostId("other"), Mark("other"))
        assert taken.head == before
        gates["go"].set()
        await until(lambda: host.engines == 0)
        assert entered == [], "a tool's body was entered without the lease"
        assert (await store.head(USER)).cursor == before, "a fenced host has written"
        (run,) = taken.open_runs
        now = await store.run(USER, run.run_id)
        assert now is not None and now.status == "running", "the other host goes on with it"


async def test_a_host_that_cannot_renew_enters_no_tool() -> None:
    """Another one may have taken over, though nobody has refused anything yet."""
    store = Faltering(lease_seconds=0.3)
    async with before_its_tool(store) as host:
        store.broken = "renew"
        await until(lambda: not host.holds_leases(0))
        gates["go"].set()
        await until(lambda: not host._engines)
        assert entered == [], "a tool's body was entered without a lease that is sure"
        # When it can renew again it goes on, as a new activation.
        store.broken = None
        await until(lambda: entered)
        assert store.disk.users[USER].epoch == 2


async def test_a_renewal_that_comes_too_late_revives_nothing() -> None:
    store = Faltering(lease_seconds=0.3)
    async with before_its_tool(store) as host:
        store.broken = "renew"
        await until(lambda: not host.holds_leases(0))
        store.broken = None
        await until(lambda: host.holds_leases(1))
        gates["go"].set()
        await until(lambda: entered)
        assert store.disk.users[USER].epoch == 2, "the lease of before was used"


async def test_a_lease_that_could_not_be_given_back_goes_with_the_next_beat() -> None:
    store = Faltering(lease_seconds=0.3)
    async with before_its_tool(store) as host:
        store.broken = "release"
        gates["go"].set()
        await until(lambda: host.engines == 0)
        assert store.disk.users[USER].holder == host.host_id
        store.broken = None
        await until(lambda: store.disk.users[USER].holder is None)


async def test_a_lease_that_could_not_be_given_back_goes_at_the_shutdown() -> None:
    store = Faltering(lease_seconds=300.0)
    async with before_its_tool(store) as host:
        store.broken = "release"
        gates["go"].set()
        await until(lambda: host.engines == 0)
        store.broken = None
    assert store.disk.users[USER].holder is None


class Held(MemoryStore):
    """Appends wait for the test while it has a gate."""

    gate: asyncio.Event | None = None
    waits = False

    async def append(self, append: Append) -> None:
        if self.gate is not None:
            self.waits = True
            await self.gate.wait()
        await super().append(append)


async def test_a_run_is_not_handed_over_between_a_call_and_its_body() -> None:
    """The next host could not tell whether the body ran."""
    store = Held(lease_seconds=1.0)
    beside = EngineHost(MemoryStore(store.disk, lease_seconds=1.0), AgentRegistry([held]))
    async with before_its_tool(store) as host, beside.running():
        await until(lambda: not host._sharing.alone)
        store.gate = asyncio.Event()
        gates["go"].set()
        await until(lambda: store.waits)
        engine = host._engines[USER]
        draining = asyncio.create_task(host.drain(5))
        await until(lambda: engine._draining)
        store.gate.set()
        await draining
        await until(lambda: "agent_completed" in repr(store.disk.users[USER].entries))
        assert entered == ["x"]
        assert "interrupted" not in repr(store.disk.users[USER].entries)


async def test_a_shutdown_is_not_stopped_by_an_engine_that_was_fenced() -> None:
    async with before_its_tool(MemoryStore()) as host:
        engine = host._engines[USER]
        engine.outbox.close()
        engine.shutdown()  # before its tasks have heard of it
    assert host.engines == 0


class Overtaken(MemoryStore):
    """While it is read from the first time, another host ends, prunes and erases."""

    now: Callable[[], Awaitable[None]] | None = None

    async def entries(
        self, user: UserId, after: Seq, limit: int = 1000
    ) -> tuple[int, list[EncodedEntry]]:
        now, self.now = self.now, None
        if now is not None:
            await now()
        return await super().entries(user, after, limit)


@pytest.mark.parametrize("how", ["erased", "pruned", "lost", "damaged"])
async def test_an_activation_that_was_overtaken_takes_nothing_for_damage(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk()
    async with before_its_tool(MemoryStore(disk)):
        disk.users[USER].holder = None
        slow, other = Overtaken(disk), MemoryStore(disk)

        async def overtake() -> None:
            if how == "damaged":
                entry = disk.users[USER].entries[2]
                disk.users[USER].entries[2] = msgspec.structs.replace(entry, json=b"")
                return
            disk.users[USER].holder = None
            if how == "lost":  # with the lease itself; what follows looks as if it had been granted
                record = disk.users[USER]
                record.entries.pop()
                record.marks.pop()
                record.epoch -= 1
            async with EngineHost(other, AgentRegistry([held])).running() as second:
                if how == "lost":
                    second.wake(USER)
                    await until(lambda: "agent_resumed" in repr(record.entries))
                    return
                (run,) = [r for _, r in await other.runs(USER, None, 9)]
                await second.submit(USER, CommandId("c2"), commands.Cancel(run_id=run.run_id))
                while (await other.runs(USER, "running", 9)) != []:
                    await asyncio.sleep(0)
                if how == "erased":
                    await second.submit(USER, CommandId("c3"), commands.Forget())
                else:
                    await other.prune(1 << 60)

        slow.now = overtake
        brief = Limits(linger_seconds=0.05)
        async with EngineHost(slow, AgentRegistry([held]), limits=brief).running() as late:
            late.wake(USER)
            await until(lambda: slow.now is None and not late.engines)
            assert bool(late.quarantine) == (how == "damaged")
    assert "failed" not in caplog.text


class Faltering(MemoryStore):
    """One of its operations gets no answer, as long as the test says so."""

    broken: str | None = None

    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        self._answer("renew")
        return await super().renew(host, report)

    async def release(self, user: UserId, epoch: int) -> None:
        self._answer("release")
        await super().release(user, epoch)

    def _answer(self, operation: str) -> None:
        if operation == self.broken:
            raise StoreUnavailableError("the database does not answer")


async def test_after_trouble_an_engine_whose_lease_is_anothers_ends() -> None:
    store = Faltering(lease_seconds=30)
    async with before_its_tool(store) as host:
        store.broken = "renew"
        await until(lambda: host._doubtful)
        record = store.disk.users[USER]
        record.holder, record.epoch = HostId("other"), record.epoch + 1
        store.disk.hosts[HostId("other")] = store.disk.hosts[host.host_id]
        store.broken = None
        await until(lambda: not host._engines)
        assert entered == []


async def test_after_trouble_a_lease_that_no_engine_has_is_given_back() -> None:
    """An answer that never came: this host holds a user of whom it does not know."""
    store = Faltering(lease_seconds=30)
    async with before_its_tool(store) as host:
        await store.acquire(UserId("unknown"), host.host_id, Mark("m"))
        store.broken = "renew"
        await until(lambda: host._doubtful)
        store.broken = None
        await until(lambda: store.disk.users[UserId("unknown")].holder is None)
        assert store.disk.users[USER].holder == host.host_id
        gates["go"].set()


class SlowlyRead(MemoryStore):
    """Reading the log takes until the test says so."""

    def __init__(self, disk: Disk) -> None:
        super().__init__(disk, lease_seconds=30)
        self.reading, self.go_on = asyncio.Event(), asyncio.Event()

    async def entries(
        self, user: UserId, after: Seq, limit: int = 1000
    ) -> tuple[int, list[EncodedEntry]]:
        self.reading.set()
        await self.go_on.wait()
        return await super().entries(user, after, limit)


async def test_a_lease_that_goes_while_the_log_is_read_ends_the_activation_and_no_beat() -> None:
    disk = Disk()
    async with before_its_tool(MemoryStore(disk)):
        disk.users[USER].holder = None
        store = SlowlyRead(disk)
        async with EngineHost(store, AgentRegistry([held])).running() as host:
            host.wake(USER)
            await store.reading.wait()
            record = disk.users[USER]
            record.holder, record.epoch = HostId("other"), record.epoch + 1
            disk.hosts[HostId("other")] = disk.hosts[host.host_id]
            beats = disk.hosts[host.host_id].count
            host._doubtful = True
            await until(lambda: not host._doubtful)
            store.go_on.set()
            await until(lambda: not host._engines)
            await until(lambda: disk.hosts[host.host_id].count > beats + 1)
            assert entered == [] and not host.quarantine


async def test_a_host_hands_over_no_child_of_a_run_that_could_not_follow() -> None:
    """A parent that cannot be replayed waits for its child here, to the end."""

    @agent("brittle", recover="fail")
    async def brittle(run: RunContext, message: str) -> str | None:
        return await run.agent("held", message)

    gates.update(waits=asyncio.Event(), go=asyncio.Event())
    store = MemoryStore(lease_seconds=30)
    host = EngineHost(store, AgentRegistry([brittle, held]))
    async with host.running():
        await host.submit(USER, CommandId("c1"), commands.Send(text="x", agent="brittle"))
        await gates["waits"].wait()
        host._sharing.alone = False
        draining = asyncio.create_task(host.drain(10))
        await until(lambda: host._draining)
        gates["go"].set()
        await draining
    statuses = {
        run.agent: run.status for _, run in await MemoryStore(store.disk).runs(USER, None, 9)
    }
    assert statuses == {"brittle": "succeeded", "held": "succeeded"}
