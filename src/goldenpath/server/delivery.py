"""From a user's log to one reader: the same pump for every protocol.

A reader is a cursor and nothing else. It reads, writes what it read to its connection, and waits
for a wake-up; a reader that is slow waits in its own write and costs no more than that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import NamedTuple, TypeVar

from goldenpath.engine.ports import Observer
from goldenpath.errors import PositionError, StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.store.interface import Batch, Position, Store

T = TypeVar("T")

_RETRY_SECONDS = 0.2
FRAME_BYTES = 64 * 1024
"""About the most of one frame: a client that reads nothing costs a few of them, many stock clients
refuse more than 1 MiB, and a reader far behind on a bad line gets on step by step. Only a single
larger event makes a larger frame."""
_SAMPLE = 8
"""Of this many batches the delay of one is observed: it costs as much as the delivery itself."""
_TIME = b'"time":"'
_TIME_LENGTH = len("2026-01-02T03:04:05.678Z")
_TERMINAL = b'"type":"agent_completed"'


def _age(event: bytes) -> float:
    """Seconds since an event was appended, of its stored JSON; never negative."""
    start = event.index(_TIME) + len(_TIME)
    appended = datetime.fromisoformat(event[start : start + _TIME_LENGTH].decode())
    return max(time.time() - appended.timestamp(), 0.0)


class StoreGoneError(Exception):
    """The store did not answer for too long: the reader should come again."""


def has_terminal(batch: Batch) -> bool:
    """True if a run's end is among the events: its delivery is worth a receipt at once."""
    return any(event.find(_TERMINAL, 0, 80) >= 0 for event in batch.events)


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


class Opening(NamedTuple):
    """Where reading begins; `reset` if that is not where it was asked to."""

    position: Position
    head: int
    reset: bool


async def opening(store: Store, user: UserId, asked: Position | None, seconds: float) -> Opening:
    """Check where a reader wants to begin; None is the head. Raises StoreGoneError."""
    head = await patiently(lambda: store.head(user), seconds)
    if asked is None:
        return Opening(head, head.cursor, False)
    try:
        await patiently(lambda: store.read(user, asked, 1), seconds)
    except PositionError:
        return Opening(head, head.cursor, True)
    return Opening(asked, max(head.cursor, asked.cursor), False)


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
        self._batches = 0
        self._live = False
        """True once it had caught up: what comes then is new, and its delay is ours."""

    async def run(self) -> None:
        """Deliver until cancelled. Raises PositionError (reset) and StoreGoneError."""
        watch = self._store.watch(self._user)
        try:
            while True:
                try:
                    batch = await self._read()
                except StoreUnavailableError:
                    batch = await patiently(self._read, self._patience)
                if batch.to != batch.from_:
                    await self._write(batch)
                    self.position = Position(batch.mark, batch.to)
                    if self._live and batch.events:
                        if self._batches % _SAMPLE == 0:
                            self._observer.delivery_lag(_age(batch.events[0]))
                        self._batches += 1
                    if batch.more:
                        continue
                await watch.wait()
                self._live = True
        finally:
            watch.close()

    def _read(self) -> Awaitable[Batch]:
        return self._store.read(self._user, self.position, max_bytes=FRAME_BYTES)
