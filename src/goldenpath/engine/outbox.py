"""The one way into a user's log: entries are numbered, checked, packed and appended in order.

One append is in flight; what comes meanwhile is packed into the next. An append whose outcome is
unknown is repeated with its id until the store answers. A refusal ends the activation.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from goldenpath.engine.ports import Clock, Ids
from goldenpath.engine.ticks import Ticks
from goldenpath.errors import GrammarError, StoreRefusedError, StoreUnavailableError
from goldenpath.model.commands import Receipt, receipt_of
from goldenpath.model.entries import Body, EncodedEntry, Entry, encode
from goldenpath.model.grammar import UserState, apply
from goldenpath.model.ids import AppendId, RunId, Seq, ThreadId, UserId
from goldenpath.model.journal import CommandSettled
from goldenpath.store.interface import Activation, Append, Refusal, Store

_MOST_ENTRIES = 2000
_MOST_BYTES = 4 << 20
_RETRY_SECONDS = (0.02, 0.05, 0.1, 0.25, 0.5, 1.0)


class FencedError(Exception):
    """This activation may write no more: another one has begun, or the store says so."""


class Outbox:
    """Appends of one activation. `settled` hears of commands whose end has become durable.

    There is no task in it: an append is one callback that packs and one that takes the outcome,
    for this is what a streaming run does most.
    """

    def __init__(
        self,
        store: Store,
        user: UserId,
        activation: Activation,
        state: UserState,
        clock: Clock,
        ids: Ids,
        ticks: Ticks,
        *,
        due: Callable[[], int | None],
        settled: Callable[[Receipt | Refusal], None],
    ) -> None:
        self._store = store
        self._user = user
        self._activation = activation
        self._state = state
        self._clock = clock
        self._ids = ids
        self._ticks = ticks
        self._due = due
        self._settled = settled
        self._groups: deque[tuple[list[EncodedEntry], int]] = deque()
        # What was added together, with its size, must become durable together: groups are never
        # cut.
        self._receipts: deque[tuple[int, Receipt]] = deque()
        self._refused: list[Refusal] = []
        self._erase: list[tuple[int, ThreadId | None]] = []
        self._touched = False
        self._appends = 0
        self._loop = asyncio.get_running_loop()
        self._scheduled = False
        self._flight: _Flight | None = None
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._drained: list[asyncio.Future[None]] = []
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._head = activation.head
        self._durable = int(activation.head)
        self._due_written: int | None = -1  # unknown: the store may hold an old one
        self.unsent_bytes = 0
        self.fenced = False

    def __str__(self) -> str:
        return f"head {self._head}, durable {self._durable}"

    @property
    def head(self) -> int:
        """The seq of the last entry that was added."""
        return int(self._head)

    @property
    def idle(self) -> bool:
        """True if everything that was added is durable, and due is as it should be."""
        return self._flight is None and not self._more

    @property
    def _more(self) -> bool:
        return bool(self._groups or self._refused or self._erase or self._touched)

    def add(self, items: Iterable[tuple[ThreadId | None, RunId | None, Body]]) -> list[Entry]:
        """Add entries, all in one append. Raises CodecError, FencedError.

        RuntimeError if one may not come in this log: a mistake of the engine.
        """
        if self.fenced:
            raise FencedError
        now = self._clock.now_ms()
        added = [
            Entry(Seq(seq), now, thread_id, run_id, body)
            for seq, (thread_id, run_id, body) in enumerate(items, self._head + 1)
        ]
        # Encoded before anything changes: what cannot be stored is the caller's error alone.
        group = [encode(entry) for entry in added]
        try:
            for entry in added:
                apply(self._state, entry)
        except GrammarError as error:
            # The state may be half changed, so this activation writes no more. Not the log is
            # broken but this engine: whoever asked may be an agent's code, so the host is told.
            wrong = RuntimeError(f"the engine wanted to write what may not come: {error}")
            self.close(wrong)
            raise wrong from error
        self._head = added[-1].seq
        size = 0
        for entry, encoded in zip(added, group, strict=True):
            size += len(encoded.json)
            if type(entry.body) is CommandSettled:
                self._receipts.append((entry.seq, receipt_of(entry.body)))
        self._groups.append((group, size))
        self.unsent_bytes += size
        self._schedule()
        return added

    def refuse(self, refusal: Refusal) -> None:
        """Refuse a command for now, without an entry."""
        self._refused.append(refusal)
        self._schedule()

    def erase(self, thread_id: ThreadId | None) -> None:
        """Erase a thread (None: everything) with the append of the entry that was added last.

        It takes what was durable before that append.
        """
        self._erase.append((self._head, thread_id))

    def touch(self) -> None:
        """Write `due` anew if it has changed, though there is no entry."""
        if self._due() != self._due_written:
            self._touched = True
            self._schedule()

    async def durable(self, seq: int | None = None) -> None:
        """Return when the entry (default: all that was added) is durable. Raises FencedError."""
        if self.fenced:
            raise FencedError
        seq = int(self._head) if seq is None else seq
        if seq <= self._durable:
            return
        waiter = self._loop.create_future()
        self._waiters.append((seq, waiter))
        await waiter

    async def drained(self) -> None:
        """Return when nothing is left to append. Raises FencedError."""
        while not self.idle:
            if self.fenced:
                raise FencedError
            waiter = self._loop.create_future()
            self._drained.append(waiter)
            await waiter

    async def guard(self) -> None:
        """Wait for the end of the activation. Raises FencedError, or what the store refused."""
        await asyncio.shield(self._over)

    def close(self, error: Exception | None = None) -> None:
        """No more appends; whoever waits is told. Idempotent."""
        self.fenced = True
        waiters = [*(waiter for _, waiter in self._waiters), *self._drained]
        self._waiters.clear()
        self._drained.clear()
        for waiter in waiters:
            _fail(waiter, FencedError())
        _fail(self._over, error or FencedError())

    # -- appending ---------------------------------------------------------------------------

    def _schedule(self) -> None:
        # The rest of this round of the loop may bring more entries for the append.
        if not self._scheduled and self._flight is None:
            self._scheduled = True
            self._ticks.call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        if self._flight is None and self._more and not self.fenced:
            self._flight = self._pack()
            self._send()

    def _pack(self) -> _Flight:
        entries, size = self._groups.popleft() if self._groups else ([], 0)
        while self._groups and len(entries) < _MOST_ENTRIES and size < _MOST_BYTES:
            more, more_size = self._groups.popleft()
            entries += more
            size += more_size
        last = entries[-1].seq if entries else self._durable
        refused, self._refused = self._refused, []
        erase: list[ThreadId | None] = []
        if self._erase:
            erase = [thread for seq, thread in self._erase if seq <= last]
            self._erase = [(seq, thread) for seq, thread in self._erase if seq > last]
        self._touched = False
        self._appends += 1
        activation = self._activation
        append = Append(
            user=self._user,
            epoch=activation.epoch,
            mark=activation.mark,
            head=Seq(self._durable),
            append_id=AppendId(f"{activation.mark}.{self._appends}"),
            entries=entries,
            refused=refused,
            due_ms=self._due(),
            erase_threads=[thread for thread in erase if thread is not None],
            erase_user=None in erase,
            now_ms=self._clock.now_ms(),
        )
        return _Flight(append, last, size)

    def _send(self) -> None:
        flight = self._flight
        if flight is None or self.fenced:
            return
        answer = asyncio.ensure_future(self._store.append(flight.append))
        answer.add_done_callback(self._answered)

    def _answered(self, answer: asyncio.Future[None]) -> None:
        error = FencedError() if answer.cancelled() else answer.exception()
        if self.fenced or self._flight is None:
            return
        if error is None:
            self._land(self._flight)
        elif isinstance(error, StoreUnavailableError):
            # The outcome is unknown: the same append, by its id, is applied once.
            pause = _RETRY_SECONDS[min(self._flight.repeats, len(_RETRY_SECONDS) - 1)]
            self._flight.repeats += 1
            self._loop.call_later(pause * (0.5 + self._ids.random()), self._send)
        elif isinstance(error, StoreRefusedError):
            self.close()
        elif isinstance(error, Exception):
            self.close(error)
        else:
            raise error

    def _land(self, flight: _Flight) -> None:
        last, append = flight.last, flight.append
        self._flight = None
        self._durable = last
        self._due_written = append.due_ms
        self.unsent_bytes -= flight.size
        if self._more:
            self._schedule()
        while self._receipts and self._receipts[0][0] <= last:
            self._settled(self._receipts.popleft()[1])
        for refusal in append.refused:
            self._settled(refusal)
        while self._waiters and self._waiters[0][0] <= last:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)
        if self._drained and self.idle:
            for waiter in self._drained:
                if not waiter.done():
                    waiter.set_result(None)
            self._drained.clear()


class _Flight:
    """The append that is under way: `last` is durable when it has landed, `size` is in bytes."""

    __slots__ = ("append", "last", "repeats", "size")

    def __init__(self, append: Append, last: int, size: int) -> None:
        self.append = append
        self.last = last
        self.size = size
        self.repeats = 0


def _fail(waiter: asyncio.Future[None], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
        waiter.exception()  # nobody may be left to ask for it
