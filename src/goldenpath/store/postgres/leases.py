"""Leases: who holds which user, and which hosts are seen to live.

A host proves that it lives by counting in a row of its own. Another may have its users after it
has seen that count stand still for a whole lease, by its own monotonic clock, while the database
answered it: an error, or a pause between answers, begins the time anew. What is decided so is
decided by the database in the end: a lease is given only if the count is still the same then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from goldenpath.errors import (
    UNREADABLE,
    CodecError,
    GoldenpathError,
    LeaseHeldError,
    StoreError,
    StoreUnavailableError,
)
from goldenpath.model.ids import HostId, Mark, Seq, UserId
from goldenpath.store.interface import Activation, HostReport, HostView, LivingHost, Pulse
from goldenpath.store.postgres.groups import Groups
from goldenpath.store.postgres.link import Link, Links
from goldenpath.store.postgres.log import Log
from goldenpath.store.postgres.own import OwnLog
from goldenpath.store.postgres.rows import approval_of, run_of
from goldenpath.store.postgres.server import Server

_reports = msgspec.json.Decoder(HostReport)
_encode = msgspec.json.Encoder().encode


class _Seen(NamedTuple):
    """Another host: its count, and since when it has been that."""

    beat: int
    since: float
    report: HostReport


class _Wanted(NamedTuple):
    user: UserId
    host: HostId
    mark: Mark


class Leases:
    """See the module."""

    def __init__(self, server: Server, seconds: float, log: Log) -> None:
        self.seconds = seconds
        self.host: HostId | None = None
        """Who renews here."""
        self._server = server
        self._log = log
        self._beats = Link(server, writes=True, vital=True)
        self._link = Link(server, writes=True, vital=True)
        self._seen: dict[HostId, _Seen] = {}
        self._dead: set[HostId] = set()
        self._silences = 0
        self._answered: float | None = None
        self._renewed: float | None = None
        self._acquiring = Groups[_Wanted, Activation](
            self._acquire_many, key=lambda wanted: wanted.user
        )
        self._releasing = Groups[tuple[UserId, int], bool](
            self._release_many, key=lambda held: held[0]
        )

    # -- who lives ---------------------------------------------------------------------------

    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        """See `Store.renew`."""
        loop = asyncio.get_running_loop()
        self.host = host
        began = loop.time()
        rows = await self._beats.run(
            lambda connection: connection.fetch(
                "SELECT * FROM goldenpath.renew_1($1, $2)", host, _encode(report)
            )
        )
        now = loop.time()
        self._look(now, {row[0]: (row[1], row[2]) for row in rows if row[0] != host})
        self._renewed = began
        dead = set(self.dead(now))
        found, self._dead = dead - self._dead, dead
        living = [
            LivingHost(name, seen.report) for name, seen in self._seen.items() if name not in dead
        ]
        # The database looked at its clock in the middle of the round trip, more or less.
        now_ms = rows[0][3] + round((now - began) * 500)
        leave = any(row[4] for row in rows if row[0] == host)
        return Pulse(now_ms=now_ms, others=living, found_dead=bool(found), leave=leave)

    def _look(self, now: float, hosts: dict[HostId, tuple[int, bytes]]) -> None:
        gap = self._answered is None or now - self._answered > self.seconds / 2
        if gap or self._server.silences != self._silences:
            self._seen.clear()
        self._answered, self._silences = now, self._server.silences
        for host in self._seen.keys() - hosts.keys():
            if self._seen[host].beat:
                del self._seen[host]
        for host, (beat, about) in hosts.items():
            seen = self._seen.get(host)
            since = now if seen is None or seen.beat != beat else seen.since
            self._seen[host] = _Seen(beat, since, _report(about))

    def dead(self, now: float) -> list[HostId]:
        """Hosts whose users may be taken; none while the database is not known to answer."""
        if (
            self._answered is None
            or now - self._answered > self.seconds / 2
            or self._server.silences != self._silences
        ):
            return []
        return [host for host, seen in self._seen.items() if now - seen.since >= self.seconds]

    def alive(self) -> list[HostId]:
        """Other hosts that were seen, and not found dead."""
        dead = set(self.dead(asyncio.get_running_loop().time()))
        return [host for host in self._seen if host not in dead]

    @property
    def alone(self) -> bool:
        """True while no other host is seen; what it would be told it finds by itself later."""
        return not self._seen

    def sure(self) -> bool:
        """True while nobody can have taken what is held here."""
        now = asyncio.get_running_loop().time()
        return self._renewed is not None and now - self._renewed < self.seconds

    # -- leases ------------------------------------------------------------------------------

    async def acquire(self, user: UserId, host: HostId, mark: Mark) -> Activation:
        """See clauses L."""
        self._log.ended(user)  # until it is known, nothing may be served from what was
        return await self._acquiring.ask(_Wanted(user, host, mark))

    async def _acquire_many(self, wanted: Sequence[_Wanted]) -> list[Activation | GoldenpathError]:
        found: dict[UserId, Activation | GoldenpathError] = {}
        for host in {one.host for one in wanted}:  # one, but for tests
            own = [one for one in wanted if one.host == host]
            found |= await self._acquire_for(host, own)
        return [found[one.user] for one in wanted]

    async def _acquire_for(
        self, host: HostId, wanted: Sequence[_Wanted]
    ) -> dict[UserId, Activation | GoldenpathError]:
        dead = self.dead(asyncio.get_running_loop().time())
        rows = await self._link.run_here(
            lambda connection: connection.fetch(
                "SELECT * FROM goldenpath.acquire_1($1, $2, $3, $4, $5)",
                [one.user for one in wanted],
                [one.mark for one in wanted],
                host,
                dead,
                [self._seen[name].beat for name in dead],
            )
        )
        marks = {one.user: one.mark for one in wanted}
        found: dict[UserId, Activation | GoldenpathError] = {}
        for user, user_no, granted, holder, beat, epoch, head, runs, texts, approvals in rows:
            if not granted:
                found[user] = LeaseHeldError(f"the lease is held by host {holder}")
                self._notice(holder, beat)
                continue
            try:
                open_runs = [
                    run_of(*row, None) for row in zip(runs or (), texts or (), strict=True)
                ]
                open_approvals = [approval_of(body) for body in approvals or ()]
            except StoreUnavailableError as error:
                found[user] = CodecError(str(error))  # of this user alone, and for good
                continue
            activation = Activation(
                epoch=epoch,
                mark=marks[user],
                head=Seq(head),
                open_runs=open_runs,
                open_approvals=open_approvals,
            )
            own = OwnLog(user, user_no, activation.mark, head)
            own.rows.add(runs=activation.open_runs, approvals=activation.open_approvals)
            self._log.begun(own)
            found[user] = activation
        return found

    def _notice(self, host: HostId, beat: int) -> None:
        """Begin to watch a holder that has no row, or had none yet."""
        if host not in self._seen:
            now = asyncio.get_running_loop().time()
            self._seen[host] = _Seen(beat, now, HostReport())

    async def release(self, user: UserId, epoch: int) -> bool:
        """See clause L4. True if somebody who was given back just now waits for another engine."""
        self._log.ended(user)
        return await self._releasing.ask((user, epoch))

    async def _release_many(self, held: Sequence[tuple[UserId, int]]) -> list[bool]:
        waits: bool = await self._link.run_here(
            lambda connection: connection.fetchval(
                "SELECT goldenpath.release_1($1, $2)",
                [user for user, _ in held],
                [epoch for _, epoch in held],
            )
        )
        return [waits] * len(held)

    async def held(self, host: HostId) -> dict[UserId, int]:
        """See clause L6."""
        rows = await self._link.run(
            lambda connection: connection.fetch(
                "SELECT user_id, epoch FROM goldenpath.users WHERE holder = $1", host
            )
        )
        return {row[0]: row[1] for row in rows}

    async def hosts(self, links: Links) -> list[HostView]:
        """See clause L7."""
        rows = await links.run(lambda connection: connection.fetch(_HOSTS))
        return [
            HostView(
                host=row[0], report=_report(row[1]), leases=row[2], started_ms=row[3], age_ms=row[4]
            )
            for row in rows
        ]

    async def leave(self) -> None:
        """This host is gone: nobody needs to wait for it."""
        if self.host is not None:
            with contextlib.suppress(StoreError):
                await self._beats.run(
                    lambda c: c.execute(
                        "DELETE FROM goldenpath.hosts WHERE host_id = $1", self.host
                    )
                )

    async def close(self) -> None:
        """Finish what was begun."""
        await self._acquiring.close()
        await self._releasing.close()
        await self.leave()
        await self._link.close()
        await self._beats.close()


_HOSTS = """
SELECT h.host_id, h.about, (SELECT count(*) FROM goldenpath.users u WHERE u.holder = h.host_id),
    (extract(epoch FROM h.started_at) * 1000)::bigint,
    (extract(epoch FROM clock_timestamp() - h.renewed_at) * 1000)::bigint
FROM goldenpath.hosts h ORDER BY h.started_at
"""


def _report(body: bytes) -> HostReport:
    try:
        return _reports.decode(body)
    except UNREADABLE:  # of a version that says it otherwise
        return HostReport()
