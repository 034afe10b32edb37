"""One simulated history from one seed: users, their clients, a host that dies, a store that fails.

The engine, host, grammar and store interface are the real ones. Clients live outside of the
process that crashes: what they know survives it, as in a browser.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from goldenpath.engine.host import EngineHost
from goldenpath.engine.limits import Limits
from goldenpath.engine.ports import Observer
from goldenpath.errors import PositionError, RefusedError, StoreUnavailableError
from goldenpath.model import commands
from goldenpath.model.ids import (
    ORIGIN_MARK,
    ApprovalId,
    CommandId,
    Mark,
    RunId,
    Seq,
    ThreadId,
    UserId,
    uuid7,
)
from goldenpath.store.interface import Position, Store
from goldenpath.testing.faulty_store import FaultyStore
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore
from tests.simulation.agents import Outside, build
from tests.simulation.loop import Crashed, Quiet, SimulatedLoop

EPOCH_MS = 1_700_000_000_000
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
AGENTS = (
    "talker", "worker", "parallel", "waiter", "parent", "raiser", "hanger", "silent",
)  # fmt: skip


class SimulatedClock:
    def __init__(self) -> None:
        self.jump_ms = 0

    def now_ms(self) -> int:
        return EPOCH_MS + int(asyncio.get_running_loop().time() * 1000) + self.jump_ms

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class SimulatedIds:
    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def new(self) -> str:
        return uuid7(EPOCH_MS, self._rng.getrandbits(74))

    def mark(self) -> Mark:
        return Mark(f"m{self._rng.getrandbits(60):x}")

    def random(self) -> float:
        return self._rng.random()


@dataclass
class Client:
    """What a user's device knows. It outlives the process it talks to."""

    user: UserId
    position: Position = Position(ORIGIN_MARK, Seq(0))
    events: list[dict[str, Any]] = field(default_factory=lambda: [])
    unanswered: dict[CommandId, commands.AnyCommand] = field(default_factory=lambda: {})
    answered: dict[CommandId, dict[str, Any]] = field(default_factory=lambda: {})
    problems: list[str] = field(default_factory=lambda: [])
    threads: list[ThreadId] = field(default_factory=lambda: [])


@dataclass
class Report:
    """What a seed did, and what was found wrong."""

    seed: int
    crashes: int = 0
    callbacks: int = 0
    problems: list[str] = field(default_factory=lambda: [])
    trace: list[str] = field(default_factory=lambda: [])


Plant = Callable[[], AbstractContextManager[None]]


class World:
    """Runs one seed. `plant` is a context in which a bug is planted, to see it found."""

    def __init__(self, seed: int, *, users: int = 3, trace: bool = False) -> None:
        self.rng = random.Random(seed)
        self.report = Report(seed)
        self.disk = Disk()
        self.outside = Outside()
        self.clients = [Client(UserId(f"user{n}")) for n in range(users)]
        self.ids = SimulatedIds(random.Random(seed + 1))
        self.clock = SimulatedClock()
        self.time = 0.0
        self.faults = True
        self.hosts: list[EngineHost] = []
        self.store: Store | None = None
        self.memory: MemoryStore | None = None
        self._trace = trace
        self._wanted = self.rng.randint(2, 5)

    def run(self) -> Report:
        """Let it happen, crashes and all; then without faults to the end; then check."""
        from tests.simulation.check import check  # noqa: PLC0415 - checkers import the world

        for _ in range(self.rng.randint(1, 4)):
            self._incarnation(crash_after=int(self.rng.paretovariate(0.6) * 40))
        self.faults = False
        self._incarnation(crash_after=None)
        self.report.problems.extend(check(self))
        return self.report

    def _incarnation(self, crash_after: int | None) -> None:
        loop = SimulatedLoop(self.rng, self.time)
        loop.left = crash_after
        asyncio.set_event_loop(loop)
        main = loop.create_task(self._process())
        try:
            loop.run_until_complete(main)
        except Crashed:
            self.report.crashes += 1
            self.report.trace.append("--- crash")
        except Quiet:
            self.report.problems.append("deadlock: nothing is left to run, but not all has ended")
        except Exception as error:  # the outermost boundary of a simulated process
            self.report.problems.append(f"the process failed: {error!r}")
        finally:
            self.time = loop.time()
            for context in loop.errors:
                error = context.get("exception")
                self.report.problems.append(f"unhandled: {context['message']} {error!r}")
            if self.memory is not None:
                self.memory.dead = True
            loop.drop()
            main = None
            with contextlib.suppress(Exception):
                asyncio.set_event_loop(None)
            loop.close()

    def _note(self, text: str) -> None:
        if self._trace:
            self.report.trace.append(
                f"{asyncio.get_event_loop_policy().get_event_loop().time():9.3f} {text}"
            )

    # -- the process that dies ---------------------------------------------------------------

    async def _process(self) -> None:
        plain = self.memory = MemoryStore(self.disk)
        self.store = FaultyStore(plain, self.rng, sleep=asyncio.sleep) if self.faults else plain
        host = EngineHost(
            self.store,
            build(self.outside, self.rng),
            limits=LIMITS,
            clock=self.clock,
            ids=self.ids,
            observer=Observer(),
        )
        self.hosts.append(host)
        async with host.running(), asyncio.TaskGroup() as group:
            for client in self.clients:
                group.create_task(self._reader(client))
                group.create_task(self._sender(client, host))
            await self._until_quiet(host)
            self._stop.set()
        leaked = {t.get_name() for t in asyncio.all_tasks()} - {
            t.get_name() for t in asyncio.all_tasks() if t is asyncio.current_task()
        }
        if not self.faults and host.engines:
            self.report.problems.append(f"engines left: {host.engines}, tasks {sorted(leaked)}")

    async def _until_quiet(self, host: EngineHost) -> None:
        """All commands answered, all runs ended, all events read: or a bound is passed."""
        self._stop = asyncio.Event()
        for _ in range(400):
            await asyncio.sleep(0.5)
            if self.faults:
                continue
            if any(client.unanswered for client in self.clients) or self._wanted_left():
                continue
            heads = [self.disk.head(client.user) for client in self.clients]
            if any(c.position.cursor < h for c, h in zip(self.clients, heads, strict=True)):
                continue
            if not any(self.disk.open_runs(client.user) for client in self.clients):
                if host.engines == 0:
                    return
        if self.faults:
            return
        self.report.problems.append(
            "not everything ended within the bound: "
            + ", ".join(
                f"{c.user}: unanswered {len(c.unanswered)}, read {c.position.cursor} of "
                f"{self.disk.head(c.user)}, open {[r.agent for r in self.disk.open_runs(c.user)]}"
                for c in self.clients
            )
            + f", engines {host.engines}, quarantine {host.quarantine}, wanted {self._wanted_left()}"
            + f", due {[(u, r.due_ms) for u, r in self.disk.users.items()]}, "
            + f"left {[e.describe() for e in host._engines.values()]}"
        )

    def _wanted_left(self) -> bool:
        return any(self._sent(client) < self._wanted for client in self.clients)

    def _sent(self, client: Client) -> int:
        return len(client.answered) + len(client.unanswered)

    # -- clients -----------------------------------------------------------------------------

    async def _reader(self, client: Client) -> None:
        """A cursor on the log, as a socket is; drops and comes back."""
        assert self.store is not None
        while not self._stopped():
            watch = self.store.watch(client.user)
            try:
                for _ in range(self.rng.randint(1, 30)):
                    batch = await self.store.read(client.user, client.position, limit=5)
                    if batch.to == batch.from_:
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(1.0):
                                await watch.wait()
                        if self._stopped():
                            return
                        continue
                    self._apply(client, batch.mark, batch.from_, batch.to, batch.hidden,
                                [json.loads(e) for e in batch.events])  # fmt: skip
            except StoreUnavailableError:
                await asyncio.sleep(0.05)
            except PositionError:
                client.problems.append(f"reset at {client.position}")
                return
            finally:
                watch.close()

    def _apply(
        self, client: Client, mark: Mark, from_: int, to: int, hidden: int, events: list[Any]
    ) -> None:
        if from_ != client.position.cursor:
            client.problems.append(f"frame from {from_}, cursor {client.position.cursor}")
        if to - from_ != len(events) + hidden:
            client.problems.append(f"frame {from_}..{to}: {len(events)} events, hidden {hidden}")
        for event in events:
            client.events.append(event)
            self._note(f"{client.user} sees {event['seq']} {event['type']} {event['run_id']}")
            if event["type"] == "approval_requested" and self.rng.random() < 0.7:
                decision = "approve" if self.rng.random() < 0.6 else "deny"
                command = commands.Decide(
                    approval_id=ApprovalId(event["data"]["approval_id"]), decision=decision
                )
                client.unanswered[CommandId(f"d{self.rng.getrandbits(48):x}")] = command
            elif event["type"] == "agent_started" and self.rng.random() < 0.08:
                cancel = commands.Cancel(run_id=RunId(event["run_id"]))
                client.unanswered[CommandId(f"c{self.rng.getrandbits(48):x}")] = cancel
        client.position = Position(mark, Seq(to))

    def _stopped(self) -> bool:
        return getattr(self, "_stop", None) is not None and self._stop.is_set()

    async def _sender(self, client: Client, host: EngineHost) -> None:
        """Sends new messages, and again whatever was not answered, with the same ids."""
        await asyncio.sleep(0.001)
        while not self._stopped():
            if self._sent(client) < self._wanted:
                number = self._sent(client)
                thread = self.rng.choice([None, *client.threads[-2:]])
                message = commands.Send(
                    thread_id=thread,
                    text=f"{client.user} secret {number} {self.rng.choice(['', 'provider'])}",
                    agent=self.rng.choice(AGENTS),
                    when_busy=self.rng.choice(["queue", "queue", "reject", "interrupt"]),
                )
                client.unanswered[CommandId(f"s{self.rng.getrandbits(48):x}")] = message
            for command_id, command in list(client.unanswered.items()):
                await self._send(client, host, command_id, command)
            await asyncio.sleep(self.rng.random() * 0.4)

    async def _send(
        self,
        client: Client,
        host: EngineHost,
        command_id: CommandId,
        command: commands.AnyCommand,
    ) -> None:
        times = 2 if self.rng.random() < 0.2 else 1
        results = await asyncio.gather(
            *(host.submit(client.user, command_id, command) for _ in range(times)),
            return_exceptions=True,
        )
        for result in results:
            if isinstance(result, RefusedError):
                if (
                    result.code not in ("unavailable", "busy", "queue_full", "rate_limited")
                    or result.code == "busy"
                ):
                    self._answered(client, command_id, {"error": result.code})
            elif isinstance(result, BaseException):
                raise result
            else:
                receipt = result.receipt
                if receipt.thread_id is not None and receipt.thread_id not in client.threads:
                    client.threads.append(receipt.thread_id)
                self._answered(client, command_id, {"run": receipt.run_id, "seq": receipt.seq})

    def _answered(self, client: Client, command_id: CommandId, answer: dict[str, Any]) -> None:
        client.unanswered.pop(command_id, None)
        before = client.answered.setdefault(command_id, answer)
        if before != answer and "busy" not in (before.get("error"), answer.get("error")):
            client.problems.append(f"{command_id} was answered {before}, then {answer}")


def run_seed(seed: int, plant: Plant | None = None, *, trace: bool = False) -> Report:
    """Simulate one seed, with a planted bug if there is one."""
    # Coroutines of dead processes are finalized in the middle of nowhere: not worth a word.
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        with plant() if plant is not None else contextlib.nullcontext():
            report = World(seed, trace=trace).run()
        gc.collect()
        return report
    finally:
        sys.unraisablehook = hook


def seeds(first: int, count: int) -> Iterator[int]:
    return iter(range(first, first + count))
