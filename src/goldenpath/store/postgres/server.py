"""The database server: which of those that a URL names is the primary, and whether it answers.

A primary that was replaced and comes back has an older timeline: what it says is of the past, and
what it accepts would be lost. So of several that can be written to the newest one counts, and one
that is older than what was seen before is refused.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import asyncpg

from goldenpath.errors import StoreOpenError

Connection = Any
"""An asyncpg connection, which has no types of its own to speak of."""
TROUBLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""What a driver raises when a database or the way to it fails."""
CONNECT_SECONDS = 5.0
"""For each of the servers that a connection string names."""
_OTHERS_SECONDS = 1.0
"""For the others, once one has answered."""
_FIRST_PAUSE_S = 0.05
_LAST_PAUSE_S = 2.0
_PEER_MS = 10_000
"""A peer that acknowledges nothing for so long is gone (TCP_USER_TIMEOUT)."""
_OF_A_LOST_HOST = {
    "idle_in_transaction_session_timeout": "10s",
    "client_connection_check_interval": "2s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": str(_PEER_MS),
}
"""What the server does about a client that has vanished: its locks would stop other hosts."""
_CREDENTIALS = re.compile(r"://.*@", re.DOTALL)
"""More rather than less: a password whose `/` was not escaped is one, too."""
_SERVERS = re.compile(r"(\w+://(?:[^@/]*@)?)([^/?]*)(.*)", re.DOTALL)


class _Found(NamedTuple):
    """A server that answered: its identity, its timeline."""

    system: str
    timeline: int
    connection: Connection


class Server:
    """Where to connect, and what became of that; it remembers the newest timeline it has seen."""

    def __init__(self, url: str, *, durable: bool = True) -> None:
        self.place = _CREDENTIALS.sub("://", url).partition("?")[0]
        """The URL as it may be shown."""
        self._urls = _each(url)
        self._settings = {"application_name": "goldenpath", "jit": "off", **_OF_A_LOST_HOST}
        self.durable = durable
        if not durable:
            self._settings["synchronous_commit"] = "off"
        self.trouble: str | None = None
        """Why nothing can be written; None when the last write that was tried succeeded."""
        self.silences = 0
        """How often a connection was lost, refused, or silent for too long."""
        self.era = 0
        """Counts the timelines that were seen: what was known in an older one may be lost."""
        self._timelines: dict[str, int] = {}
        self._pause = _FIRST_PAUSE_S
        self._not_before = 0.0

    async def connect(self, *, to_read: bool = False) -> Connection:
        """Open a connection to the server that can be written to. Raises `StoreOpenError`.

        `to_read`: if there is none, one to a primary that cannot be written to. A standby is never
        asked: it may lag, and would tell a reader that what it has seen does not exist.
        """
        try:
            try:
                found = await self._newest("read-write")
            except asyncpg.TargetServerAttributeNotMatched:
                if not to_read:
                    raise
                found = await self._newest("primary")
        except TROUBLE as error:
            raise StoreOpenError(
                f"store: {self.place} cannot be used: {describe(error)}"
            ) from error
        except ValueError:  # of the URL's parts, and its text may show a part of the password
            raise StoreOpenError(
                f"store: {self.place} cannot be used: the URL cannot be read; write it as "
                "postgresql://user:password@host:5432/database, with / in a password as %2F"
            ) from None
        newest = self._timelines.get(found.system, 0)
        if found.timeline < newest:
            found.connection.terminate()
            raise StoreOpenError(
                f"store: {self.place} is an old primary (timeline {found.timeline}, {newest} was "
                "seen): stop it, and make it a standby of the new one"
            )
        if found.timeline > newest:
            self._timelines[found.system] = found.timeline
            self.era += 1
        return found.connection

    async def _newest(self, kind: str) -> _Found:
        """Of the servers of this kind the one with the newest timeline."""
        if len(self._urls) == 1:
            return await self._one(self._urls[0], kind)
        tasks = [asyncio.create_task(self._one(url, kind)) for url in self._urls]
        try:
            waiting = set(tasks)
            while waiting and not _found(tasks):
                _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if waiting:
                await asyncio.wait(waiting, timeout=_OTHERS_SECONDS)
        except BaseException:
            for task in tasks:
                _leave(task)
            raise
        found = _found(tasks)
        best = max(found, key=lambda one: one.timeline, default=None)
        for task in tasks:
            if best is None or not task.done() or task.exception() or task.result() is not best:
                _leave(task)
        if best is not None:
            return best
        errors = [error for task in tasks if (error := task.exception()) is not None]
        unfit = [e for e in errors if isinstance(e, asyncpg.TargetServerAttributeNotMatched)]
        raise (unfit or errors)[0]

    async def _one(self, url: str, kind: str) -> _Found:
        connection = await cast("Any", asyncpg).connect(
            url, timeout=CONNECT_SECONDS, target_session_attrs=kind, server_settings=self._settings
        )
        try:
            _watch_peer(connection)
            async with asyncio.timeout(CONNECT_SECONDS):
                row = await connection.fetchrow(
                    "SELECT system_identifier::text AS system, substr(pg_walfile_name("
                    "pg_current_wal_insert_lsn()), 1, 8) AS timeline FROM pg_control_system()"
                )
        except BaseException:
            connection.terminate()
            raise
        return _Found(row["system"], int(row["timeline"], 16), connection)

    async def reconnect(self, *, to_read: bool) -> Connection:
        """`connect`, but not more often than a database that is down can bear."""
        loop = asyncio.get_running_loop()
        if (early := self._not_before - loop.time()) > 0:
            await asyncio.sleep(early)
        try:
            connection = await self.connect(to_read=to_read)
        except StoreOpenError:
            self._not_before = loop.time() + self._pause
            self._pause = min(self._pause * 2, _LAST_PAUSE_S)
            raise
        self._pause, self._not_before = _FIRST_PAUSE_S, 0.0
        return connection


def _each(url: str) -> list[str]:
    """A connection string for each server that one names."""
    parts = _SERVERS.fullmatch(url)
    if parts is None:
        return [url]
    return [f"{parts[1]}{server}{parts[3]}" for server in parts[2].split(",")]


def _found(tasks: Sequence[asyncio.Task[_Found]]) -> list[_Found]:
    ended = (task for task in tasks if task.done() and not task.cancelled())
    return [task.result() for task in ended if task.exception() is None]


def _leave(task: asyncio.Task[_Found]) -> None:
    """Close a connection that is not wanted, also one that comes late."""

    def close(ended: asyncio.Task[_Found]) -> None:
        if not ended.cancelled() and ended.exception() is None:
            ended.result().connection.terminate()

    task.cancel()
    task.add_done_callback(close)


def _watch_peer(connection: Connection) -> None:
    # A machine that has gone answers nothing: without this a write would wait for many minutes.
    transport = connection._transport
    peer = transport.get_extra_info("socket")
    if peer is not None and peer.family in (socket.AF_INET, socket.AF_INET6):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3),
                            ("TCP_USER_TIMEOUT", _PEER_MS)):  # fmt: skip
            option = getattr(socket, name, None)
            if option is not None:
                peer.setsockopt(socket.IPPROTO_TCP, option, value)


def describe(error: BaseException) -> str:
    """An error of PostgreSQL's or the network's in one line."""
    code = getattr(error, "sqlstate", None)
    text = " ".join(str(error).split()) or type(error).__name__
    return f"{text} ({code})" if code else text
