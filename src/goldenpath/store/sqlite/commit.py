"""Group commit: everything that waits becomes one row of the tail, in one transaction.

While the writer is busy, operations wait; when it is idle, all of them form the next group. Each is
checked against memory right then, and refused alone. Memory changes only after the commit. Between
groups the writer does background work in short slices.

A commit costs much more than an operation in it. So under load, which shows in groups that hold
several operations without being asked to, a group begins a few milliseconds after the one before;
with few users, or none that wait together, nothing is ever delayed.

If a commit fails, nothing is applied: the file is opened anew and asked whether the group is in it.
While the store cannot write, operations fail at once and a probe tries until it can again.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable

import apsw

from goldenpath.errors import CodecError, GoldenpathError, StoreUnavailableError
from goldenpath.store.interface import CommitStats, StoreStatus
from goldenpath.store.sqlite import sql
from goldenpath.store.sqlite.groups import AnyOperation, encode_group
from goldenpath.store.sqlite.memory import UserState
from goldenpath.store.sqlite.threads import Job, WriterThread

FIRST_PROBE_S = 0.1
LAST_PROBE_S = 5.0
PROBE_BYTES = 64 * 1024
PACE_S = 0.003
"""Under load: least time from the beginning of a group to that of the next."""
PACED_SIZE = 5.0
"""Operations that groups hold on average where that is."""
MAX_GROUP_BYTES = 16 * 1024 * 1024
"""A group ends after this much, so that one commit's time has a bound."""

Prepare = Callable[[], AnyOperation | None]
"""Checks an operation against memory; None if there is nothing left to do."""


class Request:
    """An operation that waits for its commit; until then its user stays in memory."""

    __slots__ = ("exclusive", "future", "open", "prepare", "size", "state")

    def __init__(
        self,
        state: UserState,
        prepare: Prepare,
        future: asyncio.Future[None],
        exclusive: bool,
        size: int,
    ) -> None:
        self.state = state
        self.prepare = prepare
        self.future = future
        self.exclusive = exclusive
        self.size = size
        self.open = True
        state.pins += 1

    def finish(self, error: BaseException | None = None) -> None:
        """Tell the caller; it may have gone, and may have been told before."""
        if self.open:
            self.open = False
            self.state.pins -= 1
        if not self.future.done():
            if error is None:
                self.future.set_result(None)
            else:
                self.future.set_exception(error)


class Background:
    """A transaction of background work; `done` gets None, or the error that rolled it back."""

    __slots__ = ("done", "job")

    def __init__(self, job: Job, done: Callable[[object, BaseException | None], None]) -> None:
        self.job = job
        self.done = done


class _Group:
    __slots__ = ("began", "body", "number", "operations", "requests", "size")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests: list[Request] = []
        self.operations: list[AnyOperation] = []
        self.body = b""
        self.size = 0
        self.began = 0.0


Apply = Callable[[UserState, AnyOperation, int], None]
Applied = Callable[[int, int], None]
"""Told of a group that is durable and applied: its number and its size in bytes."""


class Committer:
    """See the module. `apply` changes memory, `applied` is told when a group is through.

    `dropped` hears of users whose operation nobody waits for any more.
    """

    def __init__(
        self,
        writer: WriterThread,
        stats: CommitStats,
        last_group: int,
        apply: Apply,
        applied: Applied,
        dropped: Callable[[Iterable[UserState]], None],
    ) -> None:
        self._writer = writer
        self._stats = stats
        self._last_group = last_group
        self._apply = apply
        self._applied = applied
        self._dropped = dropped
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Request] = deque()
        self._background: deque[Background] = deque()
        self._busy = False
        self._background_was_last = True
        self._scheduled = False
        self._unresolved: _Group | None = None
        self._reason: str | None = None
        self._probe_s = FIRST_PROBE_S
        self._probe: asyncio.TimerHandle | None = None
        self._closing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._size = 0.0
        self._not_before = 0.0
        self.pressed = False
        """Background work is behind: it gets every second turn even while operations wait."""

    def status(self) -> StoreStatus:
        """Whether groups can be committed."""
        return StoreStatus(writable=self._reason is None, reason=self._reason)

    @property
    def waiting(self) -> bool:
        """True while operations wait or a group is on its way."""
        return bool(self._waiting) or self._busy

    async def commit(
        self, state: UserState, prepare: Prepare, *, exclusive: bool, size: int = 0
    ) -> None:
        """Commit one operation. Raises what `prepare` raises, and `StoreUnavailableError`.

        `exclusive` operations of one user go into different groups, so each is checked against
        what the one before left.
        """
        await self.enqueue(state, prepare, exclusive=exclusive, size=size)

    def enqueue(
        self, state: UserState, prepare: Prepare, *, exclusive: bool, size: int
    ) -> asyncio.Future[None]:
        """`commit` without a task: the state stays in memory until the future is done."""
        self.check()
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(Request(state, prepare, future, exclusive, size))
        self._idle.clear()
        self._schedule()
        return future

    def check(self) -> None:
        """Raise `StoreUnavailableError` if nothing can be written now."""
        if self._closing:
            raise StoreUnavailableError("the store is closed")
        if self._reason is not None:
            raise StoreUnavailableError(f"the store cannot write: {self._reason}")

    def add_background(self, work: Background) -> None:
        """Queue a slice of background work; its `done` may add the next one."""
        self._background.append(work)
        self._idle.clear()
        self._schedule()

    async def finish(self) -> None:
        """Refuse new operations, and wait until those under way are through."""
        self._closing = True
        if self._probe is not None:
            self._probe.cancel()
        if self._reason is not None:
            self._fail_all(StoreUnavailableError(f"the store cannot write: {self._reason}"))
        await self._idle.wait()

    # Turns

    def _schedule(self) -> None:
        # The rest of this round of the loop may bring more operations for the group.
        if not self._scheduled and not self._busy:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._busy or self._reason is not None:
            return
        early = self._not_before - self._loop.time()
        ready = self._waiting and early <= 0
        background_turn = self._background and (
            not ready or (self.pressed and not self._background_was_last)
        )
        if not background_turn and ready:
            group = self._form()
            if group.operations:
                self._background_was_last = False
                self._send(group)
                return
            if self._waiting:  # only operations that the group before them barred
                self._schedule()
                return
        if self._background:
            self._background_was_last = True
            self._slice(self._background.popleft())
            return
        if not self._waiting:
            self._idle.set()
        elif early > 0:
            self._scheduled = True
            self._loop.call_later(early, self._turn)

    def _form(self) -> _Group:
        group = _Group(self._last_group + 1)
        barred: list[Request] = []
        reserved: list[UserState] = []
        waiting = self._waiting
        while waiting and group.size < MAX_GROUP_BYTES:
            request = waiting.popleft()
            if request.future.done():  # cancelled by its caller
                request.finish()
                self._dropped((request.state,))
                continue
            if request.exclusive and request.state.reserved:
                barred.append(request)
                continue
            try:
                operation = request.prepare()
            except GoldenpathError as error:
                request.finish(error)
                continue
            if operation is None:
                request.finish()
                continue
            if request.exclusive:
                request.state.reserved = True
                reserved.append(request.state)
            group.operations.append(operation)
            group.requests.append(request)
            group.size += request.size
        waiting.extendleft(reversed(barred))
        for state in reserved:
            state.reserved = False
        return group

    def _send(self, group: _Group) -> None:
        group.body = self._encode(group)
        if not group.operations:
            self._turn()
            return
        group.began = time.perf_counter()
        self._size += (len(group.operations) - self._size) / 16
        self._not_before = self._loop.time() + PACE_S if self._size >= PACED_SIZE else 0.0
        self._last_group = group.number
        self._busy = True
        number, body = group.number, group.body

        def insert(connection: apsw.Connection) -> None:
            sql.run(connection, "INSERT INTO tail (group_no, body) VALUES (?, ?)", (number, body))

        def done(_: object, error: BaseException | None) -> None:
            self._busy = False
            if error is None:
                self._probe_s = FIRST_PROBE_S
                self._count(group)
                self._complete(group)
                self._schedule()  # after those who were woken, and have more to write
            else:
                self._begin_recovery(error, group)

        self._writer.post(insert, done)

    def _encode(self, group: _Group) -> bytes:
        try:
            return encode_group(group.operations)
        except (UnicodeEncodeError, ValueError, TypeError, OverflowError):
            kept: list[tuple[Request, AnyOperation]] = []
            for request, operation in zip(group.requests, group.operations, strict=True):
                try:
                    encode_group([operation])
                except (UnicodeEncodeError, ValueError, TypeError, OverflowError) as error:
                    request.finish(CodecError(f"it cannot be stored: {error}"))
                else:
                    kept.append((request, operation))
            group.requests = [request for request, _ in kept]
            group.operations = [operation for _, operation in kept]
            return encode_group(group.operations)

    def _slice(self, work: Background) -> None:
        self._busy = True

        def done(result: object, error: BaseException | None) -> None:
            self._busy = False
            work.done(result, error)
            if error is not None:
                self._begin_recovery(error, None)
            else:
                self._turn()

        self._writer.post(work.job, done)

    def _count(self, group: _Group) -> None:
        stats = self._stats
        seconds = time.perf_counter() - group.began
        stats.groups += 1
        stats.operations += len(group.operations)
        stats.seconds += seconds
        stats.last_seconds = seconds
        stats.last_size = len(group.operations)

    def _complete(self, group: _Group) -> None:
        for request, operation in zip(group.requests, group.operations, strict=True):
            self._apply(request.state, operation, group.number)
            request.finish()
        self._applied(group.number, len(group.body))

    # When it cannot write

    def _begin_recovery(self, error: BaseException, group: _Group | None) -> None:
        self._reason = str(error)
        if group is not None:
            for request in group.requests:
                request.state.pins += 1  # memory must stay until the outcome is known
        self._unresolved = group
        self._recover()

    def _recover(self) -> None:
        group = self._unresolved
        self._busy = True
        self._probe = None

        def look(connection: apsw.Connection) -> bool:
            if group is not None and (
                sql.one(connection, "SELECT 1 FROM tail WHERE group_no = ?", (group.number,))
            ):
                # A commit whose sync failed may be found although it is not on the disk:
                # writing the row again makes it so.
                sql.run(
                    connection,
                    "UPDATE tail SET body = ? WHERE group_no = ?",
                    (group.body, group.number),
                )
                return True
            # Else a row of that size tells whether writing works; settling deletes it.
            size = max(len(group.body) if group is not None else 0, PROBE_BYTES)
            sql.run(
                connection, "REPLACE INTO tail (group_no, body) VALUES (0, zeroblob(?))", (size,)
            )
            return False

        def done(found: object, error: BaseException | None) -> None:
            self._busy = False
            if error is not None:
                self._reason = str(error)
                self._fail_all(StoreUnavailableError(f"the store cannot write: {error}"))
                if self._closing:
                    self._idle.set()
                else:
                    self._probe = self._loop.call_later(self._probe_s, self._recover)
                    self._probe_s = min(self._probe_s * 2, LAST_PROBE_S)
                return
            self._settle_outcome(bool(found))

        self._writer.post(look, done, reopen=True)

    def _settle_outcome(self, found: bool) -> None:
        group, self._unresolved = self._unresolved, None
        reason, self._reason = self._reason, None
        if group is not None:
            if found:
                self._complete(group)
            for request in group.requests:
                request.state.pins -= 1
                request.finish(StoreUnavailableError(f"the store could not write: {reason}"))
        self._turn()

    def _fail_all(self, error: StoreUnavailableError) -> None:
        group = self._unresolved
        for request in [*(group.requests if group else ()), *self._waiting]:
            request.finish(error)
        self._waiting.clear()
        background = list(self._background)
        self._background.clear()
        for work in background:
            work.done(None, error)
        if self._closing and not self._busy:
            self._idle.set()
