"""Loading users and receipts: what many ask for at once is one query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import apsw

from goldenpath.errors import GoldenpathError
from goldenpath.model.ids import Mark, UserId
from goldenpath.store.sqlite.memory import UserState
from goldenpath.store.sqlite.queries import LoadedUser
from goldenpath.store.sqlite.settle import activations, inbox_item
from goldenpath.store.sqlite.threads import ReaderPool

K = TypeVar("K")
V = TypeVar("V")


class Batcher(Generic[K, V]):
    """Answers keys by `query`, one call for all that were asked while the one before ran."""

    def __init__(
        self, readers: ReaderPool, query: Callable[[apsw.Connection, list[K]], dict[K, V]]
    ) -> None:
        self._readers = readers
        self._query = query
        self._wanted: dict[K, asyncio.Future[V | None]] = {}
        self._running: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None

    async def get(self, key: K) -> V | None:
        """The key's value, None without one. Raises `StoreUnavailableError`."""
        future = self._wanted.get(key) or self._running.get(key)
        if future is None:
            future = self._wanted[key] = asyncio.get_running_loop().create_future()
            if self._task is None:
                self._task = asyncio.create_task(self._work(), name="goldenpath-loader")
        return await asyncio.shield(future)

    async def stop(self) -> None:
        """Wait for what runs."""
        if self._task is not None:
            await self._task

    async def _work(self) -> None:
        while self._wanted:
            self._running, self._wanted = self._wanted, {}
            try:
                found = await self._ask(list(self._running))
            except GoldenpathError as error:
                for future in self._running.values():
                    future.set_exception(error)
                    future.exception()  # whoever asked may have gone
            else:
                for key, future in self._running.items():
                    future.set_result(found.get(key))
            self._running = {}
        self._task = None

    async def _ask(self, keys: list[K]) -> dict[K, V]:
        return await self._readers.run(lambda connection: self._query(connection, keys))


def restored(loaded: LoadedUser) -> UserState:
    """A user's state as the settled tables have it."""
    state = UserState(UserId(loaded.user), loaded.user_no)
    state.stored = True
    state.epoch = loaded.epoch
    state.mark = Mark(loaded.mark)
    state.head = state.settled_seq = loaded.head
    state.group = loaded.settled_group
    state.last_append = loaded.last_append
    state.due_ms = loaded.due_ms
    state.delivered = loaded.delivered
    state.activations = activations(loaded.marks)
    for place, command_id, item in loaded.inbox:
        state.inbox[command_id] = inbox_item(item)
        state.place = place
    state.acks = dict(loaded.acks)
    state.erasing = dict(loaded.erasures)
    return state
