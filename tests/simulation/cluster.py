"""Simulated machines that share a database, each with one host process after another."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any

from goldenpath.engine.host import EngineHost
from goldenpath.engine.limits import Limits
from goldenpath.engine.ports import Observer
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import HostId, Mark, UserId, uuid7
from goldenpath.server.auth import Principal
from goldenpath.server.service import Service
from goldenpath.server.settings import ServerSettings
from goldenpath.server.socket import Socket
from goldenpath.store.interface import Activation, Append, Batch, HostReport, Position, Pulse
from goldenpath.testing.faulty_store import FaultyStore
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore
from tests.simulation.agents import Outside, build
from tests.simulation.loop import Process, SimulatedLoop, SimulatedTask, current_process
from tests.simulation.network import Link

EPOCH_MS = 1_700_000_000_000
LEASE_SECONDS = 2.0
LIMITS = Limits(
    run_seconds=20.0,
    tool_seconds=5.0,
    approval_seconds=8.0,
    linger_seconds=0.5,
    cancel_seconds=0.2,
    park_seconds=0.4,
    runs_waiting=6,
    commands_per_minute=600,
)
SETTINGS = ServerSettings(unavailable_seconds=3.0, ack_seconds=1.0)
RATE = 0.04
"""Share of the calls of the database that fail while harm is done."""
DELAY = 0.02
"""Seconds that some of its calls take at most, while it is not slow."""
PAUSES = (0.02, 0.1, 0.4)
"""How many these are, by the seed: much that goes on at once, or many short histories."""


class MachineClock:
    """A machine's wall clock may jump; its monotonic one does not."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self.jump_ms = 0
        self.monotonic = loop.time

    def now_ms(self) -> int:
        return EPOCH_MS + int(self.monotonic() * 1000) + self.jump_ms


class SeededIds:
    """Ids and marks that a seed repeats."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def new(self) -> str:
        return uuid7(EPOCH_MS, self._rng.getrandbits(74))

    def mark(self) -> Mark:
        return Mark(f"m{self._rng.getrandbits(60):x}")

    def random(self) -> float:
        return self._rng.random()


class Witness(Observer):
    """What hosts say of themselves that must not be."""

    def __init__(self, process: Process, failures: list[str]) -> None:
        self._process = process
        self._failures = failures

    def quarantined(self, user: UserId, reason: str) -> None:
        self._failures.append(f"{user} was quarantined: {reason}")

    def engine_failed(self, user: UserId, error: BaseException) -> None:
        if not self._process.dead:
            self._failures.append(f"the engine of {user} failed: {error!r}")


class Written:
    """Every entry as it was appended: the truth that no erasure or pruning changes."""

    def __init__(self) -> None:
        self.entries: dict[UserId, list[EncodedEntry]] = defaultdict(list)
        self.epochs: dict[UserId, list[int]] = defaultdict(list)
        self.renewed: dict[HostId, float] = {}

    def lengths(self) -> dict[UserId, tuple[int, int]]:
        """How much was written of each user."""
        return {user: (len(es), len(self.epochs[user])) for user, es in self.entries.items()}

    def cut(self, lengths: dict[UserId, tuple[int, int]]) -> None:
        """What was written after that is lost."""
        for user in self.entries:
            entries, epochs = lengths.get(user, (0, 0))
            del self.entries[user][entries:]
            del self.epochs[user][epochs:]


class WitnessedStore(MemoryStore):
    """Notes what is appended, under which epoch, and who takes whose lease."""

    def __init__(self, disk: Disk, written: Written, failures: list[str]) -> None:
        super().__init__(disk, lease_seconds=LEASE_SECONDS)
        self._written = written
        self._failures = failures
        self._doubted = 0.0
        self.at_step: Callable[[], None] | None = None
        """Called once, when a step's beginning has become durable: the worst moment for much."""

    def read(
        self, user: UserId, position: Position, limit: int = 1000, max_bytes: int = 1 << 20
    ) -> Coroutine[Any, Any, Batch]:
        # Frames are many. By name, as planted mistakes of a read take the rest of its arguments.
        return super().read(user, position, min(limit, 7), max_bytes=max_bytes)

    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        pulse = await super().renew(host, report)
        self._written.renewed[host] = asyncio.get_running_loop().time()
        return pulse

    def now_ms(self) -> int:
        return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000)

    def doubt(self) -> None:
        self._doubted = asyncio.get_running_loop().time()
        super().doubt()

    async def acquire(self, user: UserId, host: HostId, mark: Mark) -> Activation:
        holder = self.disk.user(user).holder
        activation = await super().acquire(user, host, mark)
        if holder not in (None, host):
            now = asyncio.get_running_loop().time()
            since = max(self._written.renewed.get(holder, 0.0), self._doubted)
            if now - since < LEASE_SECONDS - 0.01:
                self._failures.append(
                    f"the lease of {user} was taken from a host that had renewed, or could not "
                    f"be seen, {now - since:.3f} s before"
                )
        return activation

    async def release(self, user: UserId, epoch: int) -> None:
        record = self.disk.user(user)
        held = record.holder is not None and record.epoch != epoch
        await super().release(user, epoch)
        if held and record.holder is None:
            self._failures.append(f"an older epoch gave the lease of {user} back")

    async def append(self, append: Append) -> None:
        before = self.disk.head(append.user)
        await super().append(append)
        if self.disk.head(append.user) > before:
            self._written.entries[append.user].extend(append.entries)
            self._written.epochs[append.user].append(append.epoch)
            if self.at_step and any(entry.type == "step_started" for entry in append.entries):
                at_step, self.at_step = self.at_step, None
                at_step()


class Machine:
    """A place for host processes: one at a time, which may be killed, stopped, cut off."""

    def __init__(self, number: int, cluster: Cluster) -> None:
        self.name = f"host{number}"
        self.clock = MachineClock(cluster.loop)
        self.process: Process | None = None
        self.service: Service | None = None
        self.store: FaultyStore | None = None
        self.links: list[Link] = []
        self._cluster = cluster
        self._leave = asyncio.Event()

    @property
    def running(self) -> bool:
        """True while its process lives, be it stopped."""
        return self.process is not None and not self.process.dead

    @property
    def host(self) -> EngineHost | None:
        """The host, once it serves."""
        return self.service.host if self.service is not None else None

    def start(self) -> None:
        """Start a process."""
        self.process = Process(self.name, self._died)
        self._leave = asyncio.Event()
        self.process.spawn(self._main())

    async def _main(self) -> None:
        cluster = self._cluster
        plain = WitnessedStore(cluster.disk, cluster.written, cluster.failures)
        store = FaultyStore(
            plain,
            cluster.stream(),
            sleep=cluster.loop.pause,
            rate=cluster.rate,
            delay=DELAY,
            pauses=cluster.pauses,
        )
        self.store = store
        process = self.process
        assert process is not None
        host = EngineHost(
            store,
            cluster.agents,
            limits=LIMITS,
            clock=self.clock,
            ids=cluster.ids,
            observer=Witness(process, cluster.failures),
        )
        async with host.running():
            # Sockets ask neither for a token nor for an origin here.
            auth: Any = None
            self.service = Service(host, auth, SETTINGS, "simulated")
            await self._leave.wait()
            await host.drain(self._cluster.stream().choice((0.0, 0.5, 3.0)))
            self.service = None
            for link in list(self.links):
                link.cut()
        plain.dead = True
        process.kill()

    def _died(self, process: Process) -> None:
        self._cluster.note(f"{self.name} is gone")
        if self.store is not None:
            self.store.inner.dead = True  # type: ignore[attr-defined]
        self.service = self.store = None
        for link in self.links:
            link.cut()
        self.links.clear()

    def leave(self) -> None:
        """Shut down as asked to."""
        self._leave.set()

    def connect(self, user: UserId) -> Link:
        """Open a socket of a user."""
        assert self.process is not None and self.service is not None
        link = Link(self.process, self._cluster.stream())
        self.links = [one for one in self.links if not one.closed]
        self.links.append(link)
        socket = Socket(self.service, Principal(user), link.receive, link.send)  # type: ignore[arg-type]
        self.process.spawn(_serve(socket, link))
        return link


async def _serve(socket: Socket, link: Link) -> None:
    try:
        await socket.serve()
    finally:
        link.cut()


class Cluster:
    """Machines, what they share, and what happens outside of them."""

    def __init__(self, seed: int, machines: int, loop: SimulatedLoop, note: Any) -> None:
        self.loop = loop
        self._seed = seed
        self._streams = 0
        self.ids = SeededIds(self.stream())
        self.disk = Disk()
        self.outside = Outside()
        self.agents = build(self.outside, self.stream(), self._entered, loop.pause)
        self.written = Written()
        self.failures: list[str] = []
        self.lossy = False
        """The database has lost commits that it had confirmed: less can be promised."""
        self.hidden_then: dict[UserId, frozenset[int]] = {}
        """What was hidden, of each user, when that happened; it need not be hidden any more."""
        self.rate = RATE
        self.pauses = self.stream().choice(PAUSES)
        self.note = note
        self.machines = [Machine(number, self) for number in range(machines)]

    def _entered(self, user: UserId, call_id: str) -> None:
        """A tool's body begins: only on the holder of the user's lease may it do that."""
        task, process = asyncio.current_task(), current_process()
        machine = next(m for m in self.machines if m.process is process)
        if machine.host is None or not isinstance(task, SimulatedTask) or process is None:
            return
        # What was called before a stop begins after it: nobody can see that.
        called_before_stop = task.number < process.made_at_stop
        if self.lossy or called_before_stop:
            return
        if self.disk.user(user).holder != machine.host.host_id:
            self.failures.append(f"{machine.name} entered {call_id} of {user} without the lease")

    def stream(self) -> random.Random:
        """Random numbers of one actor: what another one does changes little for it."""
        self._streams += 1
        return random.Random(self._seed * 1_000_003 + self._streams)

    def connect(self, user: UserId, rng: random.Random) -> Link | None:
        """Open a socket at any machine that a balancer would choose; None if there is none."""
        able = [m for m in self.machines if m.running and m.service is not None]
        return rng.choice(able).connect(user) if able else None
