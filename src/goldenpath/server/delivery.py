"""From a user's log to one reader: the same pump for every protocol.

A reader is a cursor and nothing else. It reads, writes what it read to its connection, and waits
for a wake-up; a reader that is slow waits in its own write and costs no more than that.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

from goldenpath.engine.ports import Observer
from goldenpath.errors import StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.store.interface import Batch, Position, Store, Watch

T = TypeVar("T")

_RETRY_SECONDS = 0.2
_TERMINAL = re.compile(rb'"type":"agent_completed"')


class StoreGoneError(Exception):
    """The store did not answer for too long: the reader should come again."""


def has_terminal(batch: Batch) -> bool:
    """True if a run's end is among the events: its delivery is worth a receipt at once."""
    return any(_TERMINAL.search(event[:200]) for event in batch.events)


async def patiently(read: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Repeat a read while the store is unavailable, for at most `seconds`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        try:
            return await read()
        except StoreUnavailableError:
            if loop.time() > deadline:
                raise StoreGoneError from None
            await asyncio.sleep(_RETRY_SECONDS)


class Pump:
    """Follows a user's log from a position, giving each batch to `write`."""

    def __init__(
        self,
        store: Store,
        user: UserId,
        position: Position,
        write: Callable[[Batch], Awaitable[None]],
        *,
        observer: Observer,
        unavailable_seconds: float,
    ) -> None:
        self.position = position
        self._store = store
        self._user = user
        self._write = write
        self._observer = observer
        self._patience = unavailable_seconds

    async def run(self) -> None:
        """Deliver until cancelled. Raises PositionError (reset) and StoreGoneError."""
        watch = self._store.watch(self._user)
        try:
            while True:
                batch = await self._next(watch)
                await self._write(batch)
                self.position = Position(batch.mark, batch.to)
        finally:
            watch.close()

    async def _next(self, watch: Watch) -> Batch:
        while True:
            try:
                batch = await self._store.read(self._user, self.position)
            except StoreUnavailableError:
                batch = await patiently(
                    lambda: self._store.read(self._user, self.position), self._patience
                )
            if batch.to != batch.from_:
                return batch
            await watch.wait()
