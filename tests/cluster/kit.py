"""Several real hosts on one real database, ways between them that can be cut, and users who roam."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from goldenpath.testing.postgres import PostgresServer
from goldenpath.testing.relay import Relay
from tests.databases import Database, database, drop
from tests.mission_critical.kit import (
    JSON,
    Device,
    Log,
    RefusedCommandError,
    Server,
    check_run,
    eventually,
    new_id,
)

GONE = (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    httpx.TransportError,
    OSError,
    TimeoutError,
    EOFError,
)
"""What a client meets when a host dies, ends, or is not there."""
LEASE_SECONDS = 3.0


class UrlPlace:
    """A database that somebody else looks after."""

    compacts = False

    def __init__(self, url: str) -> None:
        self.url = url

    def files(self) -> list[Path]:
        return []

    def wipe(self) -> None:
        raise AssertionError("other hosts have it too")

    def close(self) -> None:
        pass


class Hosts:
    """Host processes beside each other. Each reaches the database by a way of its own."""

    def __init__(
        self, directory: Path, url: Callable[[Sequence[Relay]], str], databases: int = 1
    ) -> None:
        """`url` makes a connection string of the relays to each of the databases."""
        self.directory = directory
        self.label = ""
        """Before the names of users, so that those of one test are nobody else's."""
        self.servers: list[Server] = []
        self.ways: list[list[Relay]] = []
        """Of each host, to each database."""
        self._url = url
        self._databases = databases

    def add(self, ends: Sequence[tuple[str, int]], *flags: str) -> Server:
        """Make one more; `start_all` starts it."""
        ways = [Relay(end).start() for end in ends]
        name = f"host{len(self.servers) + 1}"
        place = UrlPlace(self._url(ways))
        server = Server(self.directory, *flags, place=place, name=name)
        self.servers.append(server)
        self.ways.append(ways)
        return server

    def start_all(self) -> None:
        """Start those that do not run, at once."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(Server.start, [one for one in self.servers if not one.running]))

    def renew(self, label: str) -> None:
        """Make them as new for the next test: all alive and connected, nothing noted."""
        self.label = label
        for number, server in enumerate(self.servers):
            self.mend(number)
            if server.running:
                server.thaw()
        self.start_all()
        self.servers[0].effects_file.unlink(missing_ok=True)
        for gate in (self.directory / "gates").iterdir():
            gate.unlink()

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def __getitem__(self, number: int) -> Server:
        return self.servers[number]

    @property
    def running(self) -> list[Server]:
        """Those whose process lives."""
        return [server for server in self.servers if server.running]

    def cut(self, number: int) -> None:
        """Take a host's way to the database."""
        for way in self.ways[number]:
            way.cut()

    def mend(self, number: int) -> None:
        """Give it back."""
        for way in self.ways[number]:
            way.mend()

    def close(self) -> None:
        """End all of them."""
        for server in self.servers:
            server.kill()
        for ways in self.ways:
            for way in ways:
                way.close()


@contextmanager
def hosts(directory: Path, one: Database, count: int = 3, *flags: str) -> Iterator[Hosts]:
    """Hosts on one database of a server that lives longer."""

    def url(ways: Sequence[Relay]) -> str:
        return one.url.replace(f":{one.server.port}/", f":{ways[0].port}/")

    cluster = Hosts(directory, url)
    try:
        for _ in range(count):
            cluster.add([("127.0.0.1", one.server.port)], *flags)
        cluster.start_all()
        yield cluster
    finally:
        cluster.close()


class Roamer:
    """A user who goes to another host when one is gone, and sends again what was not answered."""

    def __init__(self, cluster: Hosts, user: str, rng: random.Random | None = None) -> None:
        self.cluster = cluster
        self.tab = Device(cluster[0], cluster.label + user)
        self.runs: list[str] = []
        self.moves = 0
        self._rng = rng or random.Random(user)
        self._connected = False

    @property
    def log(self) -> Log:
        return self.tab.log

    async def at(self, server: Server) -> JSON:
        """Go to one host."""
        self.tab.server = server
        welcome = await self.tab.connect()
        self._connected = True
        return welcome

    async def anywhere(self) -> None:
        """Go to some host that lives; wait until there is one."""

        async def found() -> bool:
            able = self.cluster.running
            if not able:
                return False
            try:
                await self.at(self._rng.choice(able))
            except GONE:
                return False
            self.moves += 1
            return True

        await eventually(found, f"a host that takes {self.tab.user}")

    async def through(self, work: Callable[[], Any]) -> Any:
        """Do something that may be done again, wherever a host is."""
        while True:
            try:
                if not self._connected:
                    await self.anywhere()
                return await work()
            except GONE:
                self._connected = False
            except RefusedCommandError as refused:
                if not refused.frame["error"]["retryable"]:
                    raise
                await asyncio.sleep(0.2)

    async def send(self, text: str, **more: Any) -> JSON:
        """Ask an agent, with one id however often it takes."""
        frame = {"type": "send", "id": new_id(), "text": text, "thread_id": None, **more}
        sent = await self.through(lambda: self.tab.command(dict(frame)))
        self.runs.append(sent["run_id"])
        return sent

    async def end(self, run_id: str) -> JSON:
        """A run's end; the run is checked."""
        end = await self.through(lambda: self.tab.end(run_id))
        check_run(self.log.of(run_id))
        return end

    async def event(self, type: str, run_id: str, **data: Any) -> JSON:
        """An event, wherever it comes from."""
        return await self.through(lambda: self.tab.event(type, run_id, **data))

    async def verify(self) -> None:
        """What this user has seen is what one sees who reads it all now."""
        await self.through(self.tab.fence)
        fresh = Roamer(self.cluster, self.tab.user.removeprefix(self.cluster.label), self._rng)
        await fresh.through(fresh.tab.fence)
        assert fresh.log.events == self.log.events
        assert fresh.log.cursor == self.log.cursor
        await fresh.close()

    async def close(self) -> None:
        await self.tab.close()
        self._connected = False


@contextmanager
def a_database(version: int) -> Iterator[Database]:
    """A database of a test's own."""
    one = database(version)
    try:
        yield one
    finally:
        drop(one)


class Pair:
    """A primary and its standby; hosts know both by name."""

    def __init__(self, version: int, *, synchronous: bool) -> None:
        self._stack = ExitStack()
        self._version = version
        self.primary = self._new()
        self.primary.start()
        self.primary.sql("CREATE DATABASE app")
        self.standby = self._follower()
        if synchronous:  # not before there is one: commits wait for it
            self.primary.configure(synchronous_standby_names="standby")
        self.ends = [("127.0.0.1", self.primary.port), ("127.0.0.1", self.standby.port)]

    def _new(self) -> PostgresServer:
        server = PostgresServer(version=self._version, settings={"wal_keep_size": "256MB"})
        return self._stack.enter_context(_closing(server))

    def _follower(self) -> PostgresServer:
        standby = self._new()
        standby.copy_of(self.primary, "standby")
        standby.start()
        return standby

    def url(self, ways: Sequence[Relay]) -> str:
        """A connection string that names both."""
        first = self.primary.url("app")
        where = ",".join(f"127.0.0.1:{way.port}" for way in ways)
        return first.replace(f"127.0.0.1:{self.primary.port}", where)

    @property
    def direct_url(self) -> str:
        """Of the one that is the primary now."""
        return self.primary.url("app")

    def fail_over(self) -> PostgresServer:
        """The primary dies, the standby takes its place; gives the old one."""
        old = self.primary
        old.kill()
        self.standby.promote()
        self.primary = self.standby
        return old

    def follow_anew(self) -> None:
        """Give the primary a new standby, for whose commits it waits from now on."""
        self.standby = self._follower()
        self.primary.configure(synchronous_standby_names="standby")

    def close(self) -> None:
        self._stack.close()


@contextmanager
def _closing(server: PostgresServer) -> Iterator[PostgresServer]:
    try:
        yield server
    finally:
        server.close()
