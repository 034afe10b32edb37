"""Who waits for news of which user: wake-ups within one process. They carry no data."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from goldenpath.model.ids import UserId


class _Watch:
    """Stays woken until it is waited for; cheaper than an asyncio.Event on the hot path."""

    def __init__(self, watches: dict[UserId, set[_Watch]], user: UserId) -> None:
        self._loop = asyncio.get_running_loop()
        self._woken = False
        self._waiters: list[asyncio.Future[None]] = []
        self._watches = watches
        self._user = user
        watches.setdefault(user, set()).add(self)

    async def wait(self) -> None:
        if not self._woken:
            waiter: asyncio.Future[None] = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
        self._woken = False

    def wake(self) -> None:
        self._woken = True
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    def close(self) -> None:
        watches = self._watches.get(self._user)
        if watches is not None:
            watches.discard(self)
            if not watches:
                del self._watches[self._user]


class Watches:
    """See the module."""

    def __init__(self) -> None:
        self._watches: dict[UserId, set[_Watch]] = {}

    @property
    def users(self) -> Collection[UserId]:
        """Who is watched."""
        return self._watches.keys()

    def watch(self, user: UserId) -> _Watch:
        """See `Store.watch`."""
        return _Watch(self._watches, user)

    def wake(self, user: UserId) -> None:
        """Wake who watches a user."""
        for watch in self._watches.get(user, ()):
            watch.wake()

    def wake_all(self) -> None:
        """Wake everybody: they look, and find what there is."""
        for user in list(self._watches):
            self.wake(user)
