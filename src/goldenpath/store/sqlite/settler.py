"""The task that settles, erases and checkpoints while commits go on, in bounded slices."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from goldenpath.errors import StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.store.sqlite import fold, sql
from goldenpath.store.sqlite.commit import Background, Committer
from goldenpath.store.sqlite.connection import Durability, connect
from goldenpath.store.sqlite.erase import erase_pending
from goldenpath.store.sqlite.memory import UserState
from goldenpath.store.sqlite.queries import settled_group
from goldenpath.store.sqlite.settle import Capture, LastChunk, Slice, load_last_chunks
from goldenpath.store.sqlite.threads import (
    Job,
    ReaderPool,
    WriterThread,
    release_space,
    truncate_wal,
)

T = TypeVar("T")
TAIL_ENTRIES = 40_000
TAIL_BYTES = 16 * 1024 * 1024
"""The tail is settled when it holds more than this, or when nothing has happened for `IDLE_S`,
or after `MAX_AGE_S`."""
IDLE_S = 0.5
MAX_AGE_S = 10.0
HOT_ENTRIES = 2_000
"""One user with this many unsettled entries is settled by itself, so that slices stay short."""
SLICE_ENTRIES = 400
SLICE_USERS = 64
DELETE_BYTES = 1024 * 1024
CHECKPOINT_BYTES = 16 * 1024 * 1024
TRUNCATE_BYTES = 256 * 1024 * 1024
PAGE_BYTES = 4096
RETRY_S = 1.0
_EMPTY_TRIES = 5
"""Each waits for the readers that are under way."""


class Settler:
    """See the module. `states` are the users in memory; `settled` is told of users done."""

    def __init__(
        self,
        *,
        path: Path,
        durability: Durability,
        states: dict[UserId, UserState],
        committer: Committer,
        writer: WriterThread,
        readers: ReaderPool,
        settled: Callable[[Iterable[UserState]], None],
    ) -> None:
        self._path = path
        self._durability: Durability = durability
        self._states = states
        self._committer = committer
        self._writer = writer
        self._readers = readers
        self._settled = settled
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._stopping = False
        self._unfinished = any(state.erasing for state in states.values())
        """The process before this one ended between an erasure's promise and its end."""
        self._turn = asyncio.Lock()
        self._tail: deque[tuple[int, int]] = deque()
        self._tail_bytes = 0
        self._tail_entries = 0
        self._wal_bytes = 0
        self._hot: list[UserState] = []
        self._uncertain: list[Capture] = []
        self._last_group_at = 0.0
        self._settled_at = self._loop.time()
        self._checkpointer = ThreadPoolExecutor(1, "goldenpath-checkpoint")
        self._checkpoint_connection: apsw.Connection | None = None
        self._task = asyncio.create_task(self._run(), name="goldenpath-settler")

    # Told by the store

    def group_applied(self, group: int, size: int, entries: int) -> None:
        """A group is durable and in memory."""
        self._tail.append((group, size))
        self._tail_bytes += size
        self._tail_entries += entries
        self._wal_bytes += size
        self._last_group_at = self._loop.time()
        if self._tail_entries >= TAIL_ENTRIES or self._tail_bytes >= TAIL_BYTES:
            self._committer.pressed = (
                self._tail_entries >= 2 * TAIL_ENTRIES or self._tail_bytes >= 2 * TAIL_BYTES
            )
        elif len(self._tail) > 1:
            return  # it wakes by itself
        self._wake.set()

    def entries_added(self, state: UserState) -> None:
        """A user has more unsettled entries."""
        if len(state.entries) >= HOT_ENTRIES and state not in self._hot:
            self._hot.append(state)
            self._wake.set()

    # Asked by the store

    async def settle_all(self) -> None:
        """Settle everything that is in the tail now, and finish the erasures."""
        async with self._turn:
            await self._pass()

    async def maintain(self, work: Callable[[], Awaitable[T]]) -> T:
        """Settle everything, then run `work` before anything else is settled."""
        async with self._turn:
            await self._pass()
            return await work()

    async def run_slice(self, job: Job) -> object:
        """Run one transaction of background work. Raises `StoreUnavailableError`."""
        future: asyncio.Future[object] = self._loop.create_future()

        def done(result: object, error: BaseException | None) -> None:
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

        self._committer.check()
        self._committer.add_background(Background(job, done))
        return await future

    async def stop(self) -> None:
        """End the task; what is not settled stays in the tail."""
        self._stopping = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._loop.run_in_executor(self._checkpointer, self._close_checkpointer)
        await asyncio.to_thread(self._checkpointer.shutdown)

    # The task

    async def _run(self) -> None:
        while not self._stopping:
            await self._wait()
            try:
                async with self._turn:
                    if self._due():
                        await self._pass()
                    else:
                        hot, self._hot = self._hot, []
                        await self._settle([state for state in hot if state.dirty_since])
                    await self._checkpoint()
            except StoreUnavailableError:
                await asyncio.sleep(RETRY_S)

    async def _wait(self) -> None:
        while not self._hot and not self._due():
            self._wake.clear()
            if self._tail:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE_S / 2):
                        await self._wake.wait()
            else:
                await self._wake.wait()

    def _due(self) -> bool:
        if self._unfinished:
            return True
        if self._tail_entries >= TAIL_ENTRIES or self._tail_bytes >= TAIL_BYTES:
            return True
        if not self._tail:
            return False
        now = self._loop.time()
        idle = now - self._last_group_at >= IDLE_S and not self._committer.waiting
        return idle or now - self._settled_at >= MAX_AGE_S

    async def _pass(self) -> None:
        upto = self._tail[-1][0] if self._tail else 0
        dirty = [
            state
            for state in self._states.values()
            if state.dirty_since is not None and state.dirty_since <= upto
        ]
        await self._settle(dirty)
        for state in [state for state in self._states.values() if state.erasing]:
            await erase_pending(state, self._readers, self.run_slice)
            self._settled([state])
        self._unfinished = False
        await self._delete_tail()
        self._settled_at = self._loop.time()
        self._committer.pressed = False

    async def _settle(self, states: list[UserState]) -> None:
        await self._resolve()
        # In the order of the settled tables, so that neighbours are written together.
        states.sort(key=lambda state: state.user)
        begin = 0
        while begin < len(states):
            end, entries = begin, 0
            while end < len(states) and end - begin < SLICE_USERS and entries < SLICE_ENTRIES:
                entries += len(states[end].entries)
                end += 1
            await self._settle_slice(states[begin:end])
            begin = end

    async def _settle_slice(self, states: list[UserState]) -> None:
        captures = [Capture(state) for state in states]
        folds = [fold.Fold(c.entries, c.codec) for c in captures]
        known = [
            (captured.user_no, one)
            for captured, one in zip(captures, folds, strict=True)
            if captured.entries and captured.state.stored
        ]
        lasts: dict[int, LastChunk] = {}
        if known:

            def load(connection: apsw.Connection) -> dict[int, LastChunk]:
                for user_no, one in known:
                    one.load(connection, user_no)
                return load_last_chunks(connection, [user_no for user_no, _ in known])

            lasts = await self._readers.run(load)
        rows = Slice()
        for captured, one in zip(captures, folds, strict=True):
            changes = one.changes(captured.state.erasing)
            rows.add(captured, changes, lasts.get(captured.user_no))
            await asyncio.sleep(0)
        rows.seal()
        self._uncertain = captures
        await self.run_slice(rows.write)
        self._wal_bytes += 2 * rows.size
        self._written(captures)

    def _written(self, captures: list[Capture]) -> None:
        self._uncertain = []
        for captured in captures:
            captured.settled()
        self._settled([captured.state for captured in captures])

    async def _resolve(self) -> None:
        # A slice whose commit failed may be there nevertheless.
        captures = self._uncertain
        if captures:
            first = captures[0]
            if await self._readers.run(
                lambda connection: settled_group(connection, first.user_no) >= first.group
            ):
                self._written(captures)
            self._uncertain = []

    async def _delete_tail(self) -> None:
        if not self._tail:
            return
        # As of now: what is applied while rows are deleted is dirty, and stays.
        low = self._tail[-1][0] + 1
        for state in self._states.values():
            if state.dirty_since is not None:
                low = min(low, state.dirty_since)
        while self._tail and self._tail[0][0] < low:
            size, upto = 0, 0
            while self._tail and self._tail[0][0] < low and size < DELETE_BYTES:
                upto, group_size = self._tail.popleft()
                size += group_size

            def delete(connection: apsw.Connection, upto: int = upto) -> None:
                sql.run(
                    connection,
                    "DELETE FROM tail WHERE group_no <= :upto;"
                    "UPDATE progress SET deleted_group = max(deleted_group, :upto)",
                    {"upto": upto},
                )

            await self.run_slice(delete)
            self._wal_bytes += size
        self._tail_bytes = sum(size for _, size in self._tail)
        self._tail_entries = sum(len(state.entries) for state in self._states.values())

    # Checkpoints

    async def empty_wal(self) -> None:
        """Copy the whole write-ahead log into the file, and give free pages back."""
        async with self._turn:
            while await self._writer.run(release_space):
                pass
            await self._loop.run_in_executor(self._checkpointer, self._checkpoint_passive)
            for _ in range(_EMPTY_TRIES):
                if await self._writer.run(truncate_wal):
                    return
        raise StoreUnavailableError("a long read keeps the write-ahead log: try again later")

    async def _checkpoint(self) -> None:
        if self._wal_bytes < CHECKPOINT_BYTES:
            return
        self._wal_bytes = 0
        size = await self._loop.run_in_executor(self._checkpointer, self._checkpoint_passive)
        if size > TRUNCATE_BYTES:
            # Readers or the pace of writing keep it from starting over: the writer makes it.
            await self._writer.run(truncate_wal)

    def _checkpoint_passive(self) -> int:
        try:
            if self._checkpoint_connection is None:
                self._checkpoint_connection = connect(self._path, self._durability)
            found = sql.fetch(self._checkpoint_connection, "PRAGMA wal_checkpoint(PASSIVE)")
            return int(found[0][1]) * PAGE_BYTES
        except apsw.Error:
            return 0  # the writer meets the same error, and says so

    def _close_checkpointer(self) -> None:
        if self._checkpoint_connection is not None:
            self._checkpoint_connection.close(True)
