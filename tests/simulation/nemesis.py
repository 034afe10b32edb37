"""What goes wrong, and when: chosen by the seed, counted by name."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from copy import deepcopy
from dataclasses import dataclass

from tests.simulation.cluster import DELAY, LEASE_SECONDS, Cluster, Machine, WitnessedStore


@dataclass(frozen=True)
class Step:
    """One piece of harm: when it comes (simulated seconds), what it is, and where."""

    at: float
    kind: str
    machine: int
    seed: int

    def __str__(self) -> str:
        return f"{self.at:.3f} {self.kind} host{self.machine}"


def plan(rng: random.Random, machines: int) -> list[Step]:
    """What goes wrong in one history, in order of time."""
    end, at = rng.random() * 8, 0.0
    steps: list[Step] = []
    while at < end:
        at += rng.random() * 1.5
        steps.append(Step(at, rng.choice(KINDS), rng.randrange(machines), rng.getrandbits(32)))
    return steps


class Nemesis:
    """Does harm to a cluster as planned; then leaves everything in order."""

    def __init__(self, cluster: Cluster) -> None:
        self.injected: Counter[str] = Counter()
        self._cluster = cluster
        self._tasks: list[asyncio.Task[None]] = []
        self._failed_over = False

    async def harm(self, steps: Sequence[Step]) -> None:
        """One thing after the other, several at a time."""
        loop = asyncio.get_running_loop()
        for step in steps:
            await asyncio.sleep(max(step.at - loop.time(), 0))
            work: Work = getattr(self, f"_{step.kind}")
            machine = self._cluster.machines[step.machine]
            self._tasks.append(loop.create_task(work(machine, random.Random(step.seed))))

    async def heal(self) -> None:
        """No more harm: what was begun is ended, everything runs."""
        cluster = self._cluster
        cluster.rate = 0.0
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for machine in cluster.machines:
            machine.clock.jump_ms = 0
            if machine.store is not None:
                machine.store.rate, machine.store.delay = 0.0, DELAY
                machine.store.pauses = cluster.pauses
            if machine.process is not None and machine.running:
                machine.process.left = None
                if machine.process.stopped:
                    machine.process.go_on()
            else:
                machine.start()

    def _did(self, what: str, machine: Machine) -> None:
        self.injected[what] += 1
        self._cluster.note(f"{what} {machine.name}")

    async def _crash(self, machine: Machine, rng: random.Random) -> None:
        """Kill it after some callbacks, so at any await; start another, after a while."""
        if machine.process is None or not machine.running or machine.process.left is not None:
            return
        machine.process.left = int(rng.paretovariate(0.7) * 20)
        self._did("crash", machine)
        process = machine.process
        while not process.dead:
            await asyncio.sleep(0.3)
        await asyncio.sleep(rng.random() * 3)
        if not machine.running:
            machine.start()

    async def _stop(self, machine: Machine, rng: random.Random) -> None:
        """SIGSTOP, often past its lease, and SIGCONT."""
        process = machine.process
        if process is None or process.dead or process.stopped:
            return
        self._did("stop", machine)
        process.stop()
        await asyncio.sleep(rng.random() * 2.5 * LEASE_SECONDS)
        if not process.dead:
            process.go_on()

    async def _stop_in_call(self, machine: Machine, rng: random.Random) -> None:
        """SIGSTOP between a call's journal entry and its body, past the lease.

        The answer of the database is waiting when it goes on, or still on its way.
        """
        process, store = machine.process, machine.store
        if process is None or store is None or process.dead or process.stopped:
            return
        plain = store.inner
        assert isinstance(plain, WitnessedStore)
        late = rng.random() < 0.5

        def stop() -> None:
            process.stop()
            if late:
                store.delay, store.pauses = 4 * LEASE_SECONDS, 1.0

        plain.at_step = stop
        try:
            for _ in range(20):
                await asyncio.sleep(0.1)
                if process.stopped:
                    self._did("stop in call", machine)
                    await asyncio.sleep(LEASE_SECONDS * (1 + 1.5 * rng.random()))
                    break
        finally:
            plain.at_step = None
            store.delay, store.pauses = DELAY, self._cluster.pauses
        if not process.dead:
            process.go_on()

    async def _leave(self, machine: Machine, rng: random.Random) -> None:
        """SIGTERM, and another process after it."""
        if machine.process is None or not machine.running or machine.process.stopped:
            return
        self._did("leave", machine)
        process = machine.process
        machine.leave()
        while not process.dead:
            await asyncio.sleep(0.3)
        if not machine.running:
            machine.start()

    async def _cut_off(self, machine: Machine, rng: random.Random) -> None:
        """It lives, but does not reach the database."""
        store = machine.store
        if store is None:
            return
        self._did("cut off", machine)
        store.rate = 1.0
        await asyncio.sleep(rng.random() * 2 * LEASE_SECONDS)
        store.rate = self._cluster.rate

    async def _outage(self, machine: Machine, rng: random.Random) -> None:
        """The database answers nobody."""
        self._did("outage by", machine)
        stores = [m.store for m in self._cluster.machines if m.store is not None]
        for store in stores:
            store.rate = 1.0
        await asyncio.sleep(rng.random() * 1.5 * LEASE_SECONDS)
        for store in stores:
            store.rate = self._cluster.rate

    async def _fail_over(self, machine: Machine, rng: random.Random) -> None:
        """The database goes, and another takes its place that lacks the last commits."""
        cluster = self._cluster
        if self._failed_over or rng.random() < 0.5:
            return
        self._failed_over = True
        users, lengths = deepcopy(cluster.disk.users), cluster.written.lengths()
        await asyncio.sleep(rng.random() * 2)
        self._did("lossy failover by", machine)
        stores = [m.store for m in cluster.machines if m.store is not None]
        for store in stores:
            store.rate = 1.0
        cluster.lossy = True
        cluster.hidden_then = {
            user: frozenset(e.seq for e in cluster.disk.log(user) if e.hidden)
            for user in cluster.disk.users
        }
        cluster.disk.users = users
        cluster.written.cut(lengths)
        await asyncio.sleep(rng.random())
        for store in stores:
            store.rate = cluster.rate

    async def _slow(self, machine: Machine, rng: random.Random) -> None:
        """The database answers it late."""
        store = machine.store
        if store is None:
            return
        self._did("slow", machine)
        store.delay, store.pauses = 1.5, 0.5
        await asyncio.sleep(1 + rng.random() * 3)
        store.delay, store.pauses = DELAY, self._cluster.pauses

    async def _jump(self, machine: Machine, rng: random.Random) -> None:
        """Its wall clock is set."""
        self._did("jump", machine)
        machine.clock.jump_ms += rng.choice((-20_000, -1000, 1000, 20_000))

    async def _prune(self, machine: Machine, rng: random.Random) -> None:
        """Upkeep hides the pieces of runs that have ended, while readers are at work."""
        if machine.store is None or not machine.running:
            return
        self._did("prune", machine)
        assert machine.process is not None
        machine.process.spawn(_pruned(machine))


KINDS = (
    "crash", "crash", "crash", "stop", "leave", "cut_off", "outage", "jump", "prune",
    "stop_in_call", "fail_over", "slow",
)  # fmt: skip
Work = Callable[[Machine, random.Random], Coroutine[None, None, None]]


async def _pruned(machine: Machine) -> None:
    store = machine.store
    if store is not None:
        await store.inner.prune(machine.clock.now_ms())
