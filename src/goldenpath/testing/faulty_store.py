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
        "claim_notices",
        "notified",
        "prune",
    }
)
"""What may fail after it took effect: its outcome is unknown to the caller."""


class FaultyStore:
    """Wraps a store; faults come from the random source given, so that a seed repeats them.

    Each call fails at `rate` (0 to 1) with `StoreUnavailableError`: a write before or after it took
    effect, a read before. Before a call and after it, a share `pauses` (0 to 1) waits up to `delay`
    seconds by `sleep`; the others do not wait at all.
    """

    def __init__(
        self,
        store: Store,
        rng: random.Random,
        *,
        sleep: Callable[[float], Awaitable[None]],
        rate: float = 0.05,
        delay: float = 0.02,
        pauses: float = 0.5,
    ) -> None:
        self.inner = store
        self.lease_seconds = store.lease_seconds
        self.rate = rate
        self._rng = rng
        self._sleep = sleep
        self.delay = delay
        self.pauses = pauses

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name in ("watch", "on_news", "status", "stats", "close"):
            return method

        # What every call asks for, without the detour that `__getattr__` is for attributes.
        own, random, sleep = vars(self), self._rng.random, self._sleep

        async def call(*args: Any, **kwargs: Any) -> Any:
            if random() < own["pauses"]:
                await sleep(random() * own["delay"])
            fault = random() < own["rate"]
            if fault and (name not in _WRITES or random() < 0.5):
                self._doubt()
                raise StoreUnavailableError(f"{name} failed, before it took effect")
            result = await method(*args, **kwargs)
            if random() < own["pauses"]:
                await sleep(random() * own["delay"])
            if fault:
                self._doubt()
                raise StoreUnavailableError(f"{name} failed, after it took effect")
            return result

        setattr(self, name, call)  # the next call finds it at once
        return call

    def _doubt(self) -> None:
        if isinstance(self.inner, MemoryStore):
            self.inner.doubt()
