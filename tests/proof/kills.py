"""kill -9 of a real server with many open runs: what readers miss, and when the first one goes on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import websockets

from goldenpath.compose.stores import open_reader
from goldenpath.model.ids import ORIGIN_MARK, Seq, UserId
from goldenpath.store.interface import Position
from tests.mission_critical.kit import Device, Server
from tests.proof.tally import Tally

FOLLOWERS = 40
"""Readers that follow all along; each one's view is compared with the log."""
_AT_ONCE = 25
_STORY = "8 2"
"""Pieces, and seconds between them: the runs outlast the kill, and end by themselves."""


@dataclass
class Kills:
    """What so many kills did."""

    open_runs: int
    kills: int = 0
    runs: int = 0
    not_succeeded: int = 0
    tally: Tally = field(default_factory=Tally)
    first_resumed: list[float] = field(default_factory=lambda: [])
    """For each kill: seconds from the new process's start to the first `agent_resumed` that a
    reader received."""
    each_resumed: list[float] = field(default_factory=lambda: [])
    """The same for every follower."""


async def kill_often(open_runs: int, rounds: int, tell: Callable[[str], None]) -> Kills:
    """Let so many runs be open, kill the server at a random moment, start it again; and again."""
    found = Kills(open_runs)
    with tempfile.TemporaryDirectory(prefix="goldenpath-proof-") as name:
        server = Server(Path(name), "--limit-commands-per-minute", "100000")
        server.start()
        try:
            users = [f"user-{number}" for number in range(open_runs)]
            followers = [Device(server, user) for user in users[:FOLLOWERS]]
            for follower in followers:
                await follower.connect()
            for number in range(rounds):
                await _round(server, followers, users, found)
                tell(
                    f"kill {number + 1} of {rounds}: first event after {found.first_resumed[-1]:.2f} s"
                )
            for follower in followers:
                await follower.close()
        finally:
            server.kill()
        async with open_reader(server.store_url) as store:
            for follower in followers:
                position, log = Position(ORIGIN_MARK, Seq(0)), list[Any]()
                while (batch := await store.read(UserId(follower.user), position)).events:
                    log += [msgspec.json.decode(event) for event in batch.events]
                    position = Position(batch.mark, batch.to)
                found.tally.add(follower.log.events, log)
            ended = [row for _, row in await store.runs(None, None, 10**6)]
            found.runs = len(ended)
            found.not_succeeded = sum(row.status != "succeeded" for row in ended)
    return found


async def _round(server: Server, followers: list[Device], users: list[str], found: Kills) -> None:
    gate = asyncio.Semaphore(_AT_ONCE)

    async def ask(user: str) -> None:
        async with gate, contextlib.AsyncExitStack() as stack:
            device = Device(server, user, from_head=True)
            await device.connect()
            stack.push_async_callback(device.close)
            await device.send(_STORY, agent="story")

    async def ask_here(follower: Device) -> str:
        return (await follower.send(_STORY, agent="story"))["run_id"]

    runs = await asyncio.gather(*map(ask_here, followers))
    await asyncio.gather(*map(ask, users[len(followers) :]))
    await asyncio.sleep(random.random())
    server.kill()
    found.kills += 1
    began = time.perf_counter()
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    resumed = await asyncio.gather(
        *(_resumed(one, run, began) for one, run in zip(followers, runs, strict=True))
    )
    await starting
    found.first_resumed.append(min(resumed))
    found.each_resumed += resumed
    for follower, run in zip(followers, runs, strict=True):
        await follower.end(run)

    async with open_reader(server.store_url) as store:
        for status in ("waiting", "resuming", "running"):
            while await store.runs(None, status, 1):
                await asyncio.sleep(0.2)


async def _resumed(follower: Device, run: str, began: float) -> float:
    """Come back as soon as somebody answers; seconds until the run goes on."""
    while True:
        try:
            await follower.connect()
            event = await follower.event("agent_resumed", run)
        except (OSError, websockets.WebSocketException, TimeoutError):
            await asyncio.sleep(0.01)
            continue
        assert event is not None
        return time.perf_counter() - began
