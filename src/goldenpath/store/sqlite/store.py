"""The embedded store: one SQLite file, one process; see `goldenpath.store.interface`."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from goldenpath.errors import (
    LeaseHeldError,
    RefusedError,
    StoreUnavailableError,
)
from goldenpath.model.commands import Receipt, body_hash
from goldenpath.model.ids import (
    CommandId,
    DeviceId,
    HostId,
    Mark,
    RunId,
    Seq,
    UserId,
)
from goldenpath.store.interface import (
    Activation,
    Append,
    Batch,
    Claim,
    HostReport,
    HostView,
    Position,
    Pulse,
    StoreStatus,
    Submission,
    Watch,
)
from goldenpath.store.sqlite import log, notices, rows
from goldenpath.store.sqlite.backup import copy_database
from goldenpath.store.sqlite.connection import Durability, FileLock
from goldenpath.store.sqlite.core import Core, recover
from goldenpath.store.sqlite.erase import (
    OldThread,
    erase_unused,
    find_old_threads,
    find_prunable,
    prune_run,
)
from goldenpath.store.sqlite.groups import Acknowledged, Acquired, Fetched, Submitted
from goldenpath.store.sqlite.memory import UserState, check_append, forget_refusals, waits
from goldenpath.store.sqlite.reads import All, Reads, Used
from goldenpath.store.sqlite.threads import Readers


class HostBeat(NamedTuple):
    """What a host last said of itself, and when."""

    report: HostReport
    started_ms: int
    renewed_ms: int


FETCHED = ""
"""The device of readers that cannot acknowledge."""


async def open_store(path: Path | str, *, durability: Durability = "full") -> SqliteStore:
    """Open or create a store's file. Raises `StoreOpenError`.

    With durability `full` what was acknowledged survives a power cut, with `process` it survives
    the end of the process.
    """
    where = Path(path).absolute()  # noqa: ASYNC240  it reads no file
    lock = await asyncio.to_thread(FileLock, where)
    try:
        found = await asyncio.to_thread(recover, where, durability)
    except BaseException:
        lock.release()
        raise
    core = Core(where, durability, lock, found)
    if found.replayed.old_codec:
        await core.settler.settle_all()
    return SqliteStore(core)


class SqliteStore(Reads):
    """See the module; made by `open_store`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._readers = core.readers
        self.stats = core.stats
        self.lease_seconds: float | None = None
        self._hosts: dict[HostId, HostBeat] = {}

    @contextlib.asynccontextmanager
    async def _use(self, user: UserId) -> AsyncGenerator[Used]:
        async with self._core.use(user) as state:
            yield Used(state, self._readers)

    @contextlib.asynccontextmanager
    async def _use_all(self) -> AsyncGenerator[All]:
        yield All(self._core.unsettled(), self._readers)

    async def _find_receipt(
        self, state: UserState, readers: Readers, command_id: str
    ) -> Receipt | None:
        return await self._core.find_receipt(state, command_id)

    async def close(self) -> None:
        """See `Store.close`."""
        await self._core.close()

    def status(self) -> StoreStatus:
        """See `Store.status`."""
        return self._core.status()

    # Inbox

    async def submit(
        self, user: UserId, command_id: CommandId, body: bytes, now_ms: int
    ) -> Submission:
        """See clauses S1, S2, S5."""
        hashed = body_hash(body)
        async with self._core.use(user) as state:
            self._core.check_writable()
            while True:
                receipt = await self._core.find_receipt(state, command_id)
                if receipt is not None:
                    if receipt.body_hash not in (None, hashed):
                        raise _reused(command_id)
                    return Submission("settled", receipt)
                forget_refusals(state, now_ms)
                item = state.inbox.get(command_id)
                if item is not None and item.body_hash != hashed:
                    raise _reused(command_id)
                if item is not None and item.error is None:
                    return Submission("waiting")
                if command_id not in state.submitting:
                    break
                await self._same_is_submitted(state)
            state.submitting.add(command_id)

            def prepare() -> Submitted | None:
                # One whose caller has gone may have arrived meanwhile.
                known = state.inbox.get(command_id)
                if command_id in state.receipts or (known is not None and known.error is None):
                    return None
                return Submitted(user, command_id, body, hashed)

            try:
                await self._core.commit(state, prepare, exclusive=False, size=len(body))
            finally:
                state.submitting.discard(command_id)
                self._core.submitted(state)
            return Submission("new")

    async def _same_is_submitted(self, state: UserState) -> None:
        await self._core.wait_submitted(state)
        self._core.check_writable()

    # Log

    def append(self, append: Append) -> Awaitable[None]:
        """See clauses A and S4."""
        size = sum([len(entry.json) for entry in append.entries])
        state = self._core.states.get(append.user)
        if state is not None:  # the hot path: an engine's user is in memory
            with contextlib.suppress(StoreUnavailableError):  # raised where it is awaited
                return self._core.enqueue(state, partial(check_append, state, append), size)
        return self._append(append, size)

    async def _append(self, append: Append, size: int) -> None:
        async with self._core.use(append.user) as state:
            await self._core.commit(state, partial(check_append, state, append), size=size)

    async def read(
        self, user: UserId, position: Position, limit: int = 1000, max_bytes: int = 1 << 20
    ) -> Batch:
        """See clauses R."""
        state = self._core.at_hand(user)
        if state is not None:  # the hot path: a reader near the head
            batch = log.read_memory(state, position, limit, max_bytes)
            if batch is not None:
                return batch
        return await super().read(user, position, limit, max_bytes)

    def watch(self, user: UserId) -> Watch:
        """See clause R6."""
        return self._core.watch(user)

    # Leases and demand

    async def acquire(self, user: UserId, host: HostId, mark: Mark) -> Activation:
        """See clauses L."""
        async with self._core.use(user) as state:

            def prepare() -> Acquired:
                if state.host is not None and state.host != host:
                    raise LeaseHeldError(f"the lease is held by host {state.host}")
                return Acquired(user, state.epoch + 1, mark)

            await self._core.commit(state, prepare)
            state.host = host
            epoch, head = state.epoch, state.head
            runs, approvals = await rows.open_rows(state, self._readers)
            return Activation(
                epoch=epoch,
                mark=mark,
                head=Seq(head),
                open_runs=runs,
                open_approvals=approvals,
            )

    async def release(self, user: UserId, epoch: int) -> None:
        """See clause L4; no other process can want it, so it need not be durable."""
        async with self._core.use(user) as state:
            if state.epoch == epoch:
                state.host = None

    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        """A host of this process lives as long as the process: nobody else ever does."""
        self._core.check_open()
        now_ms = time.time_ns() // 1_000_000
        started_ms = self._hosts[host].started_ms if host in self._hosts else now_ms
        self._hosts[host] = HostBeat(report, started_ms, now_ms)
        return Pulse()

    async def held(self, host: HostId) -> dict[UserId, int]:
        """See clause L6."""
        self._core.check_open()
        states = self._core.states.values()
        return {state.user: state.epoch for state in states if state.host == host}

    async def hosts(self) -> list[HostView]:
        """See clause L7."""
        now_ms = time.time_ns() // 1_000_000
        return [
            HostView(
                host=host,
                report=beat.report,
                leases=len(await self.held(host)),
                started_ms=beat.started_ms,
                age_ms=now_ms - beat.renewed_ms,
            )
            for host, beat in self._hosts.items()
        ]

    def on_news(self, tell: Callable[[UserId | None], None]) -> None:
        """No other host makes any here."""

    async def demand(
        self, now_ms: int, limit: int = 1000, host: HostId | None = None
    ) -> list[UserId]:
        """See clauses D."""
        self._core.check_open()
        return self._core.demand.users(now_ms, limit, lambda user: self._served(user, host))

    def _served(self, user: UserId, host: HostId | None) -> bool:
        """True if `host` has nothing to do for a user who is due."""
        state = self._core.states.get(user)
        if host is None or state is None or state.host is None:
            return False
        return state.host != host or not waits(state)

    async def next_due(self) -> int | None:
        """See `Store.next_due`."""
        self._core.check_open()
        return self._core.demand.next_due()

    # Receipts of delivery

    async def acknowledge(
        self, user: UserId, device: DeviceId | None, position: Position, devices: int = 50
    ) -> None:
        """See clauses K."""
        name = FETCHED if device is None else device
        async with self._core.use(user) as state:
            await log.check_position(state, self._readers, position)
            if name not in state.acks and len(state.acks.keys() - {FETCHED}) >= devices:
                name = FETCHED

            def prepare() -> Acknowledged | None:
                if position.cursor <= state.acks.get(name, 0):
                    return None
                return Acknowledged(user, name, position.cursor)

            await self._core.commit(state, prepare, exclusive=False)

    async def fetched(self, user: UserId, run_ids: Sequence[RunId]) -> None:
        """See clause K3."""
        async with self._core.use(user) as state:
            ended = await rows.undelivered_among(state, self._readers, run_ids)
            if ended:
                await self._core.commit(state, lambda: Fetched(user, ended), exclusive=False)

    async def claim_notices(
        self,
        now_ms: int,
        *,
        ended_after_ms: int,
        ended_before_ms: int,
        stretch: float = 1.0,
        limit: int = 100,
    ) -> Claim:
        """See clause K4."""
        asked = notices.Asked(now_ms, ended_after_ms, ended_before_ms, stretch, limit)
        core = self._core
        return await core.settler.maintain(
            lambda: notices.claim(asked, self._readers, core.settler.run_slice, core.states.get)
        )

    async def notified(self, user: UserId, run_id: RunId) -> None:
        """See clause K5."""
        await self._core.settler.maintain(
            lambda: self._core.settler.run_slice(notices.notified(user, run_id))
        )

    # Erasing and keeping

    async def prune(self, before_ms: int, *, everything: bool = False, limit: int = 100) -> int:
        """See clause E2."""

        async def work() -> int:
            found = await self._readers.run(
                lambda connection: find_prunable(connection, before_ms, everything, limit)
            )
            for item in found:
                async with self._core.use(UserId(item.user)) as state:
                    await prune_run(item, everything, self._readers, self._core.settler.run_slice)
                    state.generation += 1
            return len(found)

        done = await self._core.settler.maintain(work)
        last: OldThread | None = None
        while everything and done < limit:
            found, erased = await self._core.settler.maintain(
                partial(self._erase_unused, before_ms, last, limit - done)
            )
            if not found:
                break
            done, last = done + erased, found[-1]
        return done

    async def _erase_unused(
        self, before_ms: int, after: OldThread | None, limit: int
    ) -> tuple[list[OldThread], int]:
        """(Threads that were looked at, how many of them were erased)."""
        found = await self._readers.run(lambda c: find_old_threads(c, before_ms, after, limit))
        by_user: dict[UserId, list[OldThread]] = {}
        for thread in found:
            by_user.setdefault(UserId(thread.user), []).append(thread)
        erased = 0
        for user, threads in by_user.items():
            async with self._core.use(user) as state:
                run = self._core.settler.run_slice
                erased += await erase_unused(state, threads, self._readers, run)
                state.generation += 1
        return found, erased

    async def compact(self, *, locking: bool = True) -> None:
        """See `Store.compact`."""
        await self._core.checkpoint_all()

    async def backup(self, target: Path) -> None:
        """See clause B1. Raises `StoreUnavailableError`."""
        await copy_database(self._core.path, target)


def _reused(command_id: str) -> RefusedError:
    return RefusedError("id_reused", f"the id {command_id} was used for another command")
