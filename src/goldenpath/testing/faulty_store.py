"""A store that delays, fails before or after taking effect, and leaves outcomes unknown."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

from goldenpath.errors import StoreUnavailableError
from goldenpath.store.interface import Store
from goldenpath.testing.memory_store import MemoryStore

_WRITES = frozenset(
    {
        "submit",
        "append",
        "acquire",
        "release",
        "acknowledge",
        "fetched",
        "erase_user",
        "prune",
    }
)
"""What may fail after it took effect: its outcome is unknown to the caller."""


class FaultyStore:
    """Wraps a store; faults come from the random source given, so that a seed repeats them.

    Each call fails at `rate` (0 to 1) with `StoreUnavailableError`: a write before or after it took
    effect, a read before. Half of the calls wait up to `delay` seconds by `sleep`.
    """

    def __init__(
        self,
        store: Store,
        rng: random.Random,
        *,
        sleep: Callable[[float], Awaitable[None]],
        rate: float = 0.05,
        delay: float = 0.02,
    ) -> None:
        self.inner = store
        self.rate = rate
        self._rng = rng
        self._sleep = sleep
        self.delay = delay

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name in ("watch", "status", "stats", "close", "lease_seconds"):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            await self._pause()
            fault = self._rng.random() < self.rate
            if fault and (name not in _WRITES or self._rng.random() < 0.5):
                self._doubt()
                raise StoreUnavailableError(f"{name} failed, before it took effect")
            result = await method(*args, **kwargs)
            await self._pause()
            if fault:
                self._doubt()
                raise StoreUnavailableError(f"{name} failed, after it took effect")
            return result

        return call

    def _doubt(self) -> None:
        if isinstance(self.inner, MemoryStore):
            self.inner.doubt()

    async def _pause(self) -> None:
        if self._rng.random() < 0.5:
            await self._sleep(self._rng.random() * self.delay)
