"""One simulated history from one seed: users with devices, hosts, a database, and harm.

Model, engine, hosts, the server's sockets and its protocol are the real ones; time, the network,
the database and the end of processes are simulated.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from goldenpath.model.ids import UserId
from tests.simulation.check import check
from tests.simulation.cluster import Cluster
from tests.simulation.loop import Quiet, SimulatedLoop, drop
from tests.simulation.nemesis import Nemesis, plan
from tests.simulation.people import Device, User

_BOUND = 150.0
"""Simulated seconds in which everything must have ended, once nothing goes wrong any more."""
WANTED = (1, 1, 1, 2, 2, 4)
"""What one user asks for, by the seed: most bugs need few runs, some a thread with a past."""


@dataclass
class Report:
    """What a seed did, and what was found wrong."""

    seed: int
    injected: Counter[str] = field(default_factory=Counter[str])
    seconds: float = 0.0
    steps: int = 0
    runs: int = 0
    """That ended."""
    delivered: int = 0
    """Events that devices saw."""
    problems: list[str] = field(default_factory=lambda: [])
    trace: list[str] = field(default_factory=lambda: [])


Plant = Callable[[], AbstractContextManager[None]]


class World:
    """Runs one seed, on `machines` machines and for so many `users`; of its harm some `steps`."""

    def __init__(
        self,
        seed: int,
        *,
        machines: int = 2,
        users: int = 3,
        steps: Sequence[int] | None = None,
        trace: bool = False,
    ) -> None:
        rng = random.Random(seed)
        self.report = Report(seed)
        self.loop = SimulatedLoop(rng)
        planned = plan(rng, machines)
        self.report.steps = len(planned)
        self.plan = planned if steps is None else [planned[number] for number in steps]
        self._trace = trace
        asyncio.set_event_loop(self.loop)
        self.cluster = Cluster(seed, machines, self.loop, self._note)
        self.nemesis = Nemesis(self.cluster)
        self.users: list[User] = []
        for number in range(users):
            own = random.Random(seed * 1_000_033 + number)
            user = User(UserId(f"user{number}"), self.cluster, own, own.choice(WANTED))
            user.devices.append(Device(user, 0, origin=True))
            if own.random() < 0.4:
                user.devices.append(Device(user, 1, origin=own.random() < 0.5))
            self.users.append(user)

    def run(self) -> Report:
        """Let it happen, then end without harm, then check."""
        report = self.report
        try:
            self.loop.run_until_complete(self._history())
        except Quiet:
            report.problems.append("deadlock: nothing is left to run, but not all has ended")
        finally:
            report.seconds = self.loop.time()
            report.injected = self.nemesis.injected
            devices = [device for user in self.users for device in user.devices]
            report.delivered = sum(len(device.events) for device in devices)
            written = self.cluster.written.entries.values()
            report.runs = sum(e.type == "agent_completed" for entries in written for e in entries)
            report.problems += [
                f"unhandled: {c['message']} {c.get('exception')!r}" for c in self.loop.errors
            ]
            for machine in self.cluster.machines:
                if machine.process is not None:
                    machine.process.kill()
            drop(self.loop.tasks())
            asyncio.set_event_loop(None)
            self.loop.close()
        return report

    def _note(self, *words: object) -> None:
        if self._trace:
            text = " ".join(map(str, words))
            self.report.trace.append(f"{self.loop.time():9.3f} {text}")

    async def _history(self) -> None:
        loop = asyncio.get_running_loop()
        for machine in self.cluster.machines:
            machine.start()
        tasks = [
            loop.create_task(work)
            for user in self.users
            for work in (user.live(), *(device.live() for device in user.devices))
        ]
        await self.nemesis.harm(self.plan)
        await self.nemesis.heal()
        self._note("no more harm")
        end = loop.time() + _BOUND
        while not self._over():
            if loop.time() > end:
                self.report.problems.append(self._left())
                break
            await asyncio.sleep(0.5)
            for machine in self.cluster.machines:
                if not machine.running:  # it was asked to leave before
                    machine.start()
        for user in self.users:
            for device in user.devices:
                device.stopped = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled() and (error := task.exception()) is not None:
                self.report.problems.append(f"a simulated person failed: {error!r}")
        # What looked for work just now finds none, who waits for an answer gives up, and leases that
        # could not be given back go with the next beat.
        # A command that somebody sent and did not wait for may come only now.
        for _ in range(2 * int(_BOUND)):
            await asyncio.sleep(0.5)
            hosts = [m.host for m in self.cluster.machines if m.host is not None]
            busy = any(h.engines or h._waiters or h._doubtful for h in hosts)
            if not busy and not any(self._waits_for(user) for user in self.users):
                break
        self.report.problems += self.cluster.failures
        self.report.problems += check(self)

    def _over(self) -> bool:
        return not any(m.host is None or m.host.engines for m in self.cluster.machines) and all(
            user.done()
            and not self._waits_for(user)
            and all(device.read_all() for device in user.devices)
            for user in self.users
        )

    def _waits_for(self, user: User) -> bool:
        disk = self.cluster.disk
        record = disk.users.get(user.id)
        return record is not None and (
            any(row.refusal is None for row in record.inbox.values())
            or bool(disk.open_runs(user.id))
        )

    def _left(self) -> str:
        disk = self.cluster.disk
        users = [
            f"{u.id}: unanswered {u.unanswered}, read "
            f"{[d.cursor for d in u.devices]} of {disk.head(u.id)}, due {disk.user(u.id).due_ms}, "
            f"inbox {list(disk.user(u.id).inbox)}, "
            f"open {[(r.agent, r.run_id) for r in disk.open_runs(u.id)]}"
            for u in self.users
        ]
        engines = [
            engine.describe()
            for machine in self.cluster.machines
            if machine.host is not None
            for engine in machine.host._engines.values()
        ]
        hosts = [
            f"{m.name}: running {m.running}, tasks {None if m.host is None else m.host._tasks}"
            for m in self.cluster.machines
        ]
        return f"not everything ended within the bound: {users}, engines {engines}, {hosts}"


def run_seed(
    seed: int,
    plant: Plant | None = None,
    *,
    machines: int = 2,
    users: int = 3,
    steps: Sequence[int] | None = None,
    trace: bool = False,
) -> Report:
    """Simulate one seed, with a planted bug if there is one."""
    # Coroutines of dead processes are finalized in the middle of nowhere: not worth a word.
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    collecting = gc.isenabled()
    gc.disable()  # when it runs depends on all that ran before: the order would not replay
    try:
        with plant() if plant is not None else contextlib.nullcontext():
            return World(seed, machines=machines, users=users, steps=steps, trace=trace).run()
    finally:
        sys.unraisablehook = hook
        if seed % 16 == 0:
            gc.collect()
        if collecting:
            gc.enable()
