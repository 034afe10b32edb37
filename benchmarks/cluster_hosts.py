"""Hosts that die or leave, and how soon a reader elsewhere sees the next event.

Real `goldenpath serve` processes with their default settings. Each user's run is asked for at the
host that goes; what counts is what a reader at another host receives, who never reconnects.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cluster.kit import UrlPlace
from tests.mission_critical.kit import JSON, Device, Server

from benchmarks.growth import Writer
from goldenpath.model.ids import HostId, UserId
from goldenpath.store.interface import HostReport
from goldenpath.store.postgres import PostgresStore, migrate, open_store
from goldenpath.testing.postgres import PostgresServer
from goldenpath.testing.workloads.load import percentile

HOSTS = 3
USERS = 20
GOINGS = 4
"""Of each way to go; with USERS runs each."""
APPENDS = 300
_STORY = "4000 0.1"
"""Longer than any of this takes, a piece each tenth of a second."""
_SILENT_APPENDS = 24
_BEAT_SECONDS = 0.5
_SETTLE_SECONDS = 3.0
"""Until hosts that came back are seen by the others and share the work again."""


class Reader:
    """A tab at a host that stays, and when it received what."""

    def __init__(self, server: Server, user: str) -> None:
        self.device = Device(server, user)
        self.received: list[tuple[float, JSON]] = []
        self._task: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        await self.device.connect()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        seen = len(self.device.log.events)
        while True:
            await self.device.read()
            now = time.time()
            self.received += [(now, event) for event in self.device.log.events[seen:]]
            seen = len(self.device.log.events)

    async def first(self, type_: str, run: str, seconds: float = 60) -> float:
        """When it received the first event of this type of a run."""
        async with asyncio.timeout(seconds):
            while True:
                for at, event in self.received:
                    if event["run_id"] == run and event["type"] == type_:
                        return at
                await asyncio.sleep(0.01)

    async def end(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        await self.device.close()


class Cluster:
    """Hosts on one database."""

    def __init__(self, directory: Path, url: str, count: int) -> None:
        self.url = url
        self.hosts = [
            Server(directory, "--drain", "60s", place=UrlPlace(url), name=f"host{number}")
            for number in range(count)
        ]
        for host in self.hosts:
            host.start()

    def close(self) -> None:
        for host in self.hosts:
            host.kill()


def _kill(cluster: Cluster, host: Server) -> Callable[[], float]:
    began = time.time()
    host.kill()
    return lambda: began


def _terminate(cluster: Cluster, host: Server) -> Callable[[], float]:
    before = len(host.logged())
    os.kill(host.pid, signal.SIGTERM)
    return lambda: _began_to_drain(host, before)


def _drain(cluster: Cluster, host: Server) -> Callable[[], float]:
    before = len(host.logged())
    done = host.command("drain", host.name, "--store", cluster.url, "--wait", "0s")
    assert done.returncode == 0, done.stderr
    return lambda: _began_to_drain(host, before)


def _began_to_drain(host: Server, before: int) -> float:
    line = next(one for one in host.logged()[before:] if one["message"] == "draining")
    return datetime.fromisoformat(line["time"]).timestamp()


WAYS = {"kill -9": _kill, "SIGTERM": _terminate, "goldenpath drain": _drain}


async def _go(
    cluster: Cluster, number: int, users: int, leave: Callable[[Cluster, Server], Any]
) -> list[float]:
    """One host goes; seconds until each of its runs went on, at a reader."""
    going, *staying = cluster.hosts[number % HOSTS :] + cluster.hosts[: number % HOSTS]
    readers: list[Reader] = []
    runs: list[str] = []
    label = f"{leave.__name__}{number}"
    for user in range(users):
        reader = Reader(staying[user % len(staying)], f"{label}-{user}")
        tab = Device(going, reader.device.user)
        await tab.connect()
        sent = await tab.send(_STORY, agent="story")
        await tab.close()
        await reader.begin()
        readers.append(reader)
        runs.append(sent["run_id"])
    for reader, run in zip(readers, runs, strict=True):
        await reader.first("agent_output", run)
    began = await asyncio.to_thread(leave, cluster, going)
    resumed = await asyncio.gather(
        *(reader.first("agent_resumed", run) for reader, run in zip(readers, runs, strict=True))
    )
    since = began()
    for reader, run in zip(readers, runs, strict=True):
        await reader.device.write({"type": "cancel", "id": f"end-{run}"[:64], "run_id": run})
        await reader.first("agent_completed", run)
        await reader.end()
    while going.running:
        await asyncio.sleep(0.05)
    going.start()
    await asyncio.sleep(_SETTLE_SECONDS)
    return [at - since for at in resumed]


async def measure_hosts(
    server: PostgresServer,
    tell: Callable[[str], None],
    *,
    users: int = USERS,
    goings: int = GOINGS,
    appends: int = APPENDS,
    silent: int = _SILENT_APPENDS,
) -> dict[str, Any]:
    """Take-over by each way to go, and the way of an entry from one host to another's reader."""
    server.sql("CREATE DATABASE hosts")
    url = server.url("hosts")
    await migrate(url)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="goldenpath-bench-") as directory:
        cluster = Cluster(Path(directory), url, HOSTS)
        try:
            for name, way in WAYS.items():
                tell(f"hosts go: {name} ...")
                took: list[float] = []
                for number in range(goings):
                    took += await _go(cluster, number, users, way)
                figures[name] = _told(took) | {"goings": goings}
            tell("an append here, a frame there ...")
            figures["latency"] = await _latency(cluster, appends, silent)
        finally:
            cluster.close()
    server.sql("DROP DATABASE hosts WITH (FORCE)")
    return figures


def _told(seconds: list[float]) -> dict[str, float]:
    return {
        "count": len(seconds),
        "p50_ms": percentile(seconds, 0.5) * 1000,
        "p99_ms": percentile(seconds, 0.99) * 1000,
        "most_ms": max(seconds) * 1000,
    }


async def _latency(cluster: Cluster, appends: int, silent: int) -> dict[str, Any]:
    """This process is the host that appends; the reader is at a host of the cluster."""
    store = await open_store(cluster.url)
    host = HostId("benchmark")
    await store.renew(host, HostReport(draining=True))  # nobody's users are to come here

    async def beat() -> None:
        while True:
            await asyncio.sleep(_BEAT_SECONDS)
            await store.renew(host, HostReport(draining=True))

    beating = asyncio.create_task(beat())
    try:
        told = await _appended(cluster, store, "told", appends, pause=0.02)
        # Only for this: the store believes that there is nobody to be told of anything.
        vars(store)["_news"]._alone = lambda: True
        untold = await _appended(cluster, store, "untold", silent, pause=0.0)
    finally:
        beating.cancel()
        await store.close()
    return {"with notifications": told, "without notifications": untold}


async def _appended(
    cluster: Cluster, store: PostgresStore, user: str, appends: int, pause: float
) -> dict[str, Any]:
    writer = await Writer(store, UserId(user)).begin()
    reader = Device(cluster.hosts[0], user, from_head=True)
    await reader.connect()
    whole: list[float] = []
    after: list[float] = []
    for number in range(appends + 5):
        began = time.perf_counter()
        landed: list[float] = []

        async def append(landed: list[float] = landed) -> None:
            await writer.append_run()
            landed.append(time.perf_counter())

        appending = asyncio.create_task(append())
        upto = writer.head + (11 if writer.new else 10)
        await reader.until(lambda upto=upto: (reader.log.cursor or 0) >= upto)
        seen = time.perf_counter()
        await appending
        if number >= 5:  # the first ones warm up
            whole.append(seen - began)
            after.append(seen - min(landed[0], seen))
        # Not in step with what looks every few seconds.
        await asyncio.sleep(pause or 0.137 * (number % 7))
    await reader.close()
    await writer.end()
    return {"from its begin": _told(whole), "from its commit": _told(after)}
