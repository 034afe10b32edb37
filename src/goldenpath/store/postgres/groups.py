"""Group commit: what waits while a statement is under way becomes the next statement.

So there is one round trip for each group and host, whatever the number of users; and with few
users nothing waits for anything.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from goldenpath.errors import CodecError, GoldenpathError, StoreUnavailableError

logger = logging.getLogger("goldenpath.store")

Q = TypeVar("Q")
A = TypeVar("A")

MOST = 1000
"""Questions in a group."""
MOST_BYTES = 8 * 1024 * 1024
"""A group ends after this much, so that the time of a statement has a bound."""


class _Item(Generic[Q, A]):
    __slots__ = ("future", "question", "size")

    def __init__(self, question: Q, future: asyncio.Future[A], size: int) -> None:
        self.question = question
        self.future = future
        self.size = size


class Groups(Generic[Q, A]):
    """Gives questions to `send`, many at a time; it answers each, or raises for all.

    With `key` no two questions of the same key are in one group. `flights` groups may be under
    way at once. What `send` awaits is never cancelled.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Q]], Awaitable[Sequence[A | GoldenpathError]]],
        *,
        key: Callable[[Q], Hashable] | None = None,
        flights: int = 1,
    ) -> None:
        self._send = send
        self._key = key
        self._free = flights
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Item[Q, A]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._closed = False

    def ask(self, question: Q, size: int = 0) -> asyncio.Future[A]:
        """The answer. The question is sent in any case, also if nobody waits for it any more."""
        future: asyncio.Future[A] = self._loop.create_future()
        if self._closed:
            future.set_exception(StoreUnavailableError("the store is closed"))
            return future
        self._waiting.append(_Item(question, future, size))
        self._schedule()
        return future

    async def close(self) -> None:
        """Refuse more, and finish what was begun."""
        self._closed = True
        while self._tasks or self._waiting:
            self._schedule()
            await asyncio.sleep(0)
            if self._tasks:
                await asyncio.wait(set(self._tasks))

    def _schedule(self) -> None:
        # The rest of this round of the loop may bring more for the group.
        if self._free and not self._scheduled and self._waiting:
            self._scheduled = True
            self._loop.call_soon(self._begin)

    def _begin(self) -> None:
        self._scheduled = False
        if not self._free:
            return
        group = self._form()
        if group:
            self._free -= 1
            task = self._loop.create_task(self._fly(group), name="goldenpath-group")
            self._tasks.add(task)
            task.add_done_callback(self._landed)

    def _form(self) -> list[_Item[Q, A]]:
        group: list[_Item[Q, A]] = []
        later: list[_Item[Q, A]] = []
        keys: set[Hashable] = set()
        size = 0
        while self._waiting and len(group) < MOST and size < MOST_BYTES:
            item = self._waiting.popleft()
            if self._key is not None:
                key = self._key(item.question)
                if key in keys:
                    later.append(item)
                    continue
                keys.add(key)
            group.append(item)
            size += item.size
        self._waiting.extendleft(reversed(later))
        return group

    async def _fly(self, group: list[_Item[Q, A]]) -> None:
        try:
            await self._ask(group)
        except BaseException as error:  # nobody waits for ever, whatever went wrong
            _fail(group, StoreUnavailableError(f"{type(error).__name__}: {error}"))
            raise

    async def _ask(self, group: list[_Item[Q, A]]) -> None:
        try:
            answers = await self._send([item.question for item in group])
        except CodecError as error:
            if len(group) == 1:
                _fail(group, error)
                return
            for item in group:  # one of them spoils the statement of all
                await self._ask([item])
        except GoldenpathError as error:
            _fail(group, error)
        else:
            for item, answer in zip(group, answers, strict=True):
                if item.future.done():
                    continue
                if isinstance(answer, GoldenpathError):
                    item.future.set_exception(answer)
                    item.future.exception()  # whoever asked may have gone
                else:
                    item.future.set_result(answer)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a group of questions failed", exc_info=error)
        self._free += 1
        self._schedule()


def _fail(group: Sequence[_Item[Q, A]], error: GoldenpathError) -> None:
    for item in group:
        if not item.future.done():
            item.future.set_exception(error)
            item.future.exception()
