"""The one way into a user's log: entries are numbered, checked, packed and appended in order.

One append is in flight; what comes meanwhile is packed into the next. An append whose outcome is
unknown is repeated with its id until the store answers. A refusal ends the activation.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from goldenpath.engine.ports import Clock, Ids
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
    """Appends of one activation. `settled` hears of commands whose end has become durable."""

    def __init__(
        self,
        store: Store,
        user: UserId,
        activation: Activation,
        state: UserState,
        clock: Clock,
        ids: Ids,
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
        self._due = due
        self._settled = settled
        self._groups: deque[list[EncodedEntry]] = deque()
        # What was added together must become durable together: groups are never cut.
        self._receipts: deque[tuple[int, Receipt]] = deque()
        self._refused: list[Refusal] = []
        self._erase: list[tuple[int, ThreadId]] = []
        self._touched = False
        self._appends = 0
        self._loop = asyncio.get_running_loop()
        self._woken = False
        self._sleeper: asyncio.Future[None] | None = None
        self._waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._head = activation.head
        self._durable = int(activation.head)
        self._due_written: int | None = -1  # unknown: the store may hold an old one
        self.unsent_bytes = 0
        self.fenced = False

    def _wake(self) -> None:
        """Cheaper than an asyncio.Event, whose `wait` asks for the running loop."""
        self._woken = True
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    def __str__(self) -> str:
        return f"head {self._head}, durable {self._durable}"

    @property
    def head(self) -> int:
        """The seq of the last entry that was added."""
        return int(self._head)

    @property
    def idle(self) -> bool:
        """True if everything that was added is durable, and due is as it should be."""
        return (
            not (self._groups or self._refused or self._erase or self._touched)
            and self._durable == self._head
        )

    def add(self, items: Iterable[tuple[ThreadId | None, RunId | None, Body]]) -> list[Entry]:
        """Add entries, all in one append. Raises GrammarError, CodecError, FencedError."""
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
        except GrammarError:
            self.close()  # the state may be half changed: this activation writes no more
            raise
        self._groups.append(group)
        self._head = added[-1].seq
        for entry, encoded in zip(added, group, strict=True):
            self.unsent_bytes += len(encoded.json)
            if isinstance(entry.body, CommandSettled):
                self._receipts.append((entry.seq, receipt_of(entry.body)))
        self._wake()
        return added

    def refuse(self, refusal: Refusal) -> None:
        """Refuse a command for now, without an entry."""
        self._refused.append(refusal)
        self._wake()

    def erase(self, thread_id: ThreadId) -> None:
        """Erase a thread with the append of the entry that was added last."""
        self._erase.append((self._head, thread_id))

    def touch(self) -> None:
        """Write `due` anew if it has changed, though there is no entry."""
        if self._due() != self._due_written:
            self._touched = True
            self._wake()

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

    def close(self) -> None:
        """No more appends; whoever waits is told. Idempotent."""
        self.fenced = True
        while self._waiters:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_exception(FencedError())
                waiter.exception()  # nobody may be left to ask for it
        self._wake()

    async def pump(self) -> None:
        """Append for as long as the activation lasts. Raises FencedError when it is over."""
        try:
            while True:
                if not self._woken:
                    self._sleeper = self._loop.create_future()
                    await self._sleeper
                self._woken = False
                while self._groups or self._refused or self._erase or self._touched:
                    await self._append()
        finally:
            self.close()

    async def _append(self) -> None:
        entries: list[EncodedEntry] = []
        size = 0
        while self._groups and len(entries) < _MOST_ENTRIES and size < _MOST_BYTES:
            group = self._groups.popleft()
            entries.extend(group)
            size += sum(len(entry.json) for entry in group)
        last = entries[-1].seq if entries else self._durable
        refused, self._refused = self._refused, []
        erase: list[ThreadId] = []
        if self._erase:
            erase = [thread for seq, thread in self._erase if seq <= last]
            self._erase = [(seq, thread) for seq, thread in self._erase if seq > last]
        self._touched = False
        self._appends += 1
        due = self._due()
        append = Append(
            user=self._user,
            epoch=self._activation.epoch,
            mark=self._activation.mark,
            head=Seq(self._durable),
            append_id=AppendId(f"{self._activation.mark}.{self._appends}"),
            entries=entries,
            refused=refused,
            due_ms=due,
            erase_threads=erase,
            now_ms=self._clock.now_ms(),
        )
        await self._until_answered(append)
        self._durable = last
        self._due_written = due
        self.unsent_bytes -= size
        while self._receipts and self._receipts[0][0] <= last:
            self._settled(self._receipts.popleft()[1])
        for refusal in refused:
            self._settled(refusal)
        while self._waiters and self._waiters[0][0] <= last:
            waiter = self._waiters.popleft()[1]
            if not waiter.done():
                waiter.set_result(None)

    async def _until_answered(self, append: Append) -> None:
        attempt = 0
        while True:
            try:
                return await self._store.append(append)
            except StoreUnavailableError:
                # The outcome is unknown: the same append, by its id, is applied once.
                pause = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
                attempt += 1
                await asyncio.sleep(pause * (0.5 + self._ids.random()))
            except StoreRefusedError as error:
                raise FencedError from error
