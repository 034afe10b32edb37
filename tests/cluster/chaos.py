"""Faults at random on real hosts and databases under load; a seed chooses which and for how long."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from goldenpath.store.postgres import migrate
from tests.cluster.kit import Hosts, Pair, Roamer
from tests.mission_critical.kit import Server

HOSTS = 3
_REST_SECONDS = (0.3, 2.5)
"""Between two faults."""
_LONGEST_SECONDS = {"freeze": 7.0, "cut": 6.0, "hold": 6.0, "pause the database": 5.0}


@dataclass
class Outcome:
    """What was done, and what came of it."""

    seed: int
    faults: Counter[str] = field(default_factory=Counter[str])
    runs: int = 0
    events: int = 0
    moves: int = 0
    interrupted: int = 0
    """Calls of a tool that may not be repeated, of which it is not known whether they ran."""
    resumed: int = 0
    """Times that a run went on elsewhere, or after a wait."""
    slowest: float = 0.0
    """Seconds from a command to the end of its run; the run alone takes about one."""

    def __str__(self) -> str:
        done = ", ".join(f"{count} x {what}" for what, count in sorted(self.faults.items()))
        return (
            f"seed {self.seed}: {done}\n{self.runs} runs, {self.events} events, each once and in "
            f"order; resumed {self.resumed} times, {self.interrupted} calls ambiguous, clients "
            f"moved {self.moves} times; the slowest answer took {self.slowest:.1f} s"
        )


class Chaos:
    """Hosts on a primary with its standby, users who roam, and somebody who breaks things."""

    def __init__(self, directory: Path, version: int, seed: int, users: int = 10) -> None:
        self.outcome = Outcome(seed)
        self._rng = random.Random(seed)
        self._pair = Pair(version, synchronous=True)
        self.cluster = Hosts(directory, self._pair.url)
        self._stop = asyncio.Event()
        self._users = users
        self.say: Callable[[str], None] = lambda text: None

    async def run(self, seconds: float) -> Outcome:
        """Break things for so long, then let everything end, and check it."""
        await migrate(self._pair.direct_url)
        for _ in range(HOSTS):
            self.cluster.add(self._pair.ends, "--drain", "10s")
        await asyncio.to_thread(self.cluster.start_all)
        roamers = [
            Roamer(self.cluster, f"user{n}", random.Random(self._rng.random()))
            for n in range(self._users)
        ]
        lives = [asyncio.create_task(self._live(roamer)) for roamer in roamers]
        end = time.monotonic() + seconds
        while time.monotonic() < end and not any(life.done() for life in lives):
            await self._harm()
            await asyncio.sleep(self._rng.uniform(*_REST_SECONDS))
        self._stop.set()
        await asyncio.gather(*lives)
        await self._check(roamers)
        return self.outcome

    async def _live(self, roamer: Roamer) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            sent = await roamer.send(f"{roamer.tab.user} {len(roamer.runs)}", agent="wanderer")
            end = await roamer.end(sent["run_id"])
            assert end["status"] == "succeeded", end
            self.outcome.slowest = max(self.outcome.slowest, time.monotonic() - began)

    async def _check(self, roamers: list[Roamer]) -> None:
        out = self.outcome
        for roamer in roamers:
            await roamer.verify()
            assert roamer.log.resets == 0, "something that was delivered is lost"
            ended = [e for e in roamer.log.events if e["type"] == "agent_completed"]
            assert len(ended) == len(set(roamer.runs)) == len(roamer.runs)
            out.runs += len(ended)
            out.events += len(roamer.log.events)
            out.moves += roamer.moves
            kinds = Counter(event["type"] for event in roamer.log.events)
            out.resumed += kinds["agent_resumed"]
            out.interrupted += sum(
                event["data"].get("status") == "interrupted" for event in roamer.log.events
            )
            await roamer.close()
        entered: dict[str, int] = defaultdict(int)
        for effect in self.cluster[0].effects("careful"):
            entered[effect["call_id"]] += 1
        assert max(entered.values(), default=0) <= 1, "a tool that may not be repeated was"
        for server in self.cluster.running:
            await asyncio.to_thread(server.stop)
        done = await asyncio.to_thread(
            self.cluster[0].command, "check", "--store", self._pair.direct_url
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        logged = [line for server in self.cluster for line in server.logged()]
        assert [line for line in logged if line.get("level") == "error"] == []

    # -- harm --------------------------------------------------------------------------------

    async def _harm(self) -> None:
        kinds: dict[str, Callable[[int], Awaitable[None]]] = {
            "kill": self._kill,
            "freeze": self._freeze,
            "cut": self._cut,
            "hold": self._hold,
            "drain": self._drain,
            "pause the database": self._pause,
            "kill the primary": self._fail_over,
        }
        what = self._rng.choice(list(kinds))
        host = self._rng.randrange(HOSTS)
        self.say(f"{what} (host{host + 1})")
        self.outcome.faults[what] += 1
        await kinds[what](host)

    async def _for_a_while(self, what: str) -> None:
        await asyncio.sleep(self._rng.uniform(0.1, _LONGEST_SECONDS[what]))

    async def _kill(self, host: int) -> None:
        server = self.cluster[host]
        await asyncio.to_thread(server.kill)
        await asyncio.sleep(self._rng.uniform(0, 4))
        await self._start(server)

    async def _start(self, server: Server) -> None:
        await asyncio.to_thread(server.start)

    async def _drain(self, host: int) -> None:
        server = self.cluster[host]
        await asyncio.to_thread(server.stop)
        await self._start(server)

    async def _freeze(self, host: int) -> None:
        self.cluster[host].freeze()
        await self._for_a_while("freeze")
        self.cluster[host].thaw()

    async def _cut(self, host: int) -> None:
        self.cluster.cut(host)
        await self._for_a_while("cut")
        self.cluster.mend(host)

    async def _hold(self, host: int) -> None:
        for way in self.cluster.ways[host]:
            way.hold()
        await self._for_a_while("hold")
        self.cluster.mend(host)

    async def _pause(self, _: int) -> None:
        server = self._pair.primary
        await asyncio.to_thread(server.pause)
        await self._for_a_while("pause the database")
        await asyncio.to_thread(server.resume)

    async def _fail_over(self, _: int) -> None:
        """The standby takes over, and gets a standby of its own."""
        pair = self._pair
        await asyncio.to_thread(pair.fail_over)
        place = next(n for n, end in enumerate(pair.ends) if end[1] != pair.primary.port)
        await asyncio.to_thread(pair.follow_anew)
        pair.ends[place] = ("127.0.0.1", pair.standby.port)
        for ways in self.cluster.ways:
            ways[place].ends = [pair.ends[place]]

    def close(self) -> None:
        """End all processes."""
        self.cluster.close()
        self._pair.close()
