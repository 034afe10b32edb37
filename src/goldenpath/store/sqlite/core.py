"""The parts of an open store, put together: users in memory, commits, settling, watches."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import NamedTuple

import apsw

from goldenpath.errors import CodecError, StoreOpenError, StoreUnavailableError
from goldenpath.model.commands import Receipt
from goldenpath.model.entries import CODEC_VERSION
from goldenpath.model.ids import UserId
from goldenpath.store.interface import CommitStats, StoreStatus, Watch
from goldenpath.store.sqlite.commit import Committer, Prepare
from goldenpath.store.sqlite.connection import Durability, FileLock, describe, open_database
from goldenpath.store.sqlite.demand import Demand
from goldenpath.store.sqlite.groups import AnyOperation, Appended, Submitted
from goldenpath.store.sqlite.loader import Batcher, restored
from goldenpath.store.sqlite.memory import UserState, apply, visible_receipt
from goldenpath.store.sqlite.queries import LoadedUser, find_receipts, load_users
from goldenpath.store.sqlite.recovery import Replayed, due_users, replay, waiting_users
from goldenpath.store.sqlite.settler import Settler
from goldenpath.store.sqlite.threads import ReaderPool, WriterThread
from goldenpath.store.watches import Watches


class Recovered(NamedTuple):
    """What opening found."""

    connection: apsw.Connection
    replayed: Replayed
    demand: Demand


def recover(path: Path, durability: Durability) -> Recovered:
    """Open the file and replay its tail. Raises `StoreOpenError`."""
    connection = open_database(path, durability)
    try:
        found = replay(connection)
        demand = Demand(waiting_users(connection), due_users(connection))
    except (apsw.Error, CodecError) as error:
        connection.close()
        text = describe(error) if isinstance(error, apsw.Error) else str(error)
        raise StoreOpenError(f"cannot open {path}: {text}") from error
    for state in found.states.values():
        demand.update(state)
    return Recovered(connection, found, demand)


class Core:
    """See the module. Made on the event loop that uses it."""

    def __init__(
        self, path: Path, durability: Durability, lock: FileLock, found: Recovered
    ) -> None:
        loop = asyncio.get_running_loop()
        self.path = path
        self.stats = CommitStats()
        replayed = found.replayed
        self.states = replayed.states
        self.demand = found.demand
        self._lock = lock
        self._next_user_no = replayed.next_user_no
        self._closed = False
        self._submitted: dict[UserId, list[asyncio.Future[None]]] = {}
        self._watches = Watches()
        self.readers = ReaderPool(path, loop)
        self._writer = WriterThread(path, durability, found.connection, loop)
        self._committer = Committer(
            self._writer,
            self.stats,
            replayed.last_group,
            self._apply,
            self._group_applied,
            self._evict,
        )
        self.settler = Settler(
            path=path,
            durability=durability,
            states=self.states,
            committer=self._committer,
            writer=self._writer,
            readers=self.readers,
            settled=self._evict,
        )
        for number, size in replayed.groups:
            self.settler.group_applied(number, size, 0)
        self._new_entries = 0
        self._users = Batcher[UserId, LoadedUser](self.readers, _load)
        self._receipts = Batcher[tuple[UserId, str], Receipt](self.readers, _find)

    def status(self) -> StoreStatus:
        """Whether groups can be committed."""
        if self._closed:
            return StoreStatus(writable=False, reason="the store is closed")
        return self._committer.status()

    async def close(self) -> None:
        """Finish what was begun, then free the file."""
        if self._closed:
            return
        self._closed = True
        await self._committer.finish()
        await self.settler.stop()
        await self._users.stop()
        await self._receipts.stop()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.readers.stop)
        await loop.run_in_executor(None, self._writer.stop)
        self._lock.release()
        self._watches.wake_all()

    # Users

    def at_hand(self, user: UserId) -> UserState | None:
        """The user's state if it is in memory; not kept there beyond the next await."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")
        return self.states.get(user)

    @contextlib.asynccontextmanager
    async def use(self, user: UserId) -> AsyncGenerator[UserState]:
        """The user's state, loaded and kept in memory meanwhile."""
        self.check_open()
        state = self.states.get(user)
        if state is None:
            loaded = await self._users.get(user)
            state = self.states.get(user)
            if state is None:
                state = self._create(user, loaded)
        state.pins += 1
        try:
            yield state
        finally:
            state.pins -= 1
            self._evict((state,))

    def _create(self, user: UserId, loaded: LoadedUser | None) -> UserState:
        if loaded is None:
            state = UserState(user, self._next_user_no)
            self._next_user_no += 1
        else:
            state = restored(loaded)
        self.states[user] = state
        return state

    def _evict(self, states: Iterable[UserState]) -> None:
        for state in states:
            if state.clean and self.states.get(state.user) is state:
                del self.states[state.user]

    async def find_receipt(self, state: UserState, command_id: str) -> Receipt | None:
        """A command's receipt, settled or not."""
        while True:
            receipt = state.receipts.get(command_id)
            if receipt is not None or not state.stored:
                return receipt
            settled_seq, generation = state.settled_seq, state.generation
            receipt = await self._receipts.get((state.user, command_id))
            if (state.settled_seq, state.generation) == (settled_seq, generation):
                break
        return visible_receipt(state, receipt)

    def unsettled(self) -> list[UserState]:
        """Users in memory whose rows differ from the settled ones."""
        return [
            state
            for state in self.states.values()
            if state.dirty_since is not None or state.erasing
        ]

    async def wait_submitted(self, state: UserState) -> None:
        """Return after the next submit of a user is through, whatever came of it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._submitted.setdefault(state.user, []).append(future)
        await future

    def submitted(self, state: UserState) -> None:
        """A submit is through: who waits for it looks again."""
        for future in self._submitted.pop(state.user, ()):
            if not future.done():
                future.set_result(None)

    # Operations

    async def commit(
        self, state: UserState, prepare: Prepare, *, exclusive: bool = True, size: int = 0
    ) -> None:
        """Make an operation durable and apply it; see `Committer.commit`."""
        await self._committer.commit(state, prepare, exclusive=exclusive, size=size)

    def enqueue(self, state: UserState, prepare: Prepare, size: int) -> asyncio.Future[None]:
        """`commit` of an exclusive operation, without a task; see `Committer.enqueue`."""
        return self._committer.enqueue(state, prepare, exclusive=True, size=size)

    def check_open(self) -> None:
        """Raise `StoreUnavailableError` once it is closed."""
        if self._closed:
            raise StoreUnavailableError("the store is closed")

    def check_writable(self) -> None:
        """Raise `StoreUnavailableError` if nothing can be written now."""
        self._committer.check()

    def watch(self, user: UserId) -> Watch:
        """Wake after each append or submit of a user."""
        return self._watches.watch(user)

    def _apply(self, state: UserState, operation: AnyOperation, group: int) -> None:
        apply(state, operation, group, CODEC_VERSION)
        self.demand.update(state)
        if isinstance(operation, Appended):
            self._new_entries += len(operation.entries)
            self.settler.entries_added(state)
            self._watches.wake(state.user)
        elif isinstance(operation, Submitted):
            self._watches.wake(state.user)

    def _group_applied(self, group: int, size: int) -> None:
        entries, self._new_entries = self._new_entries, 0
        self.settler.group_applied(group, size, entries)

    async def checkpoint_all(self) -> None:
        """Settle, erase, and empty the write-ahead log into the file."""
        self._committer.check()
        await self.settler.settle_all()
        await self.settler.empty_wal()


def _load(connection: apsw.Connection, users: list[UserId]) -> dict[UserId, LoadedUser]:
    return {UserId(loaded.user): loaded for loaded in load_users(connection, users)}


def _find(
    connection: apsw.Connection, wanted: list[tuple[UserId, str]]
) -> dict[tuple[UserId, str], Receipt]:
    found = find_receipts(connection, wanted)
    return {(UserId(user), command_id): receipt for (user, command_id), receipt in found.items()}
