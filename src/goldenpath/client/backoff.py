"""When to try again: exponential backoff with full jitter, and the clock that waits."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """The client's only view of time."""

    def time(self) -> float:
        """Unix seconds."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class SystemClock:
    """The machine's clock and the running event loop's waiting."""

    def time(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class Backoff:
    """Delays for one thing that fails: uniform in [0, min(cap, base * 2**n)), n growing.

    Full jitter spreads the clients of a server that went away over the whole interval, so that
    they do not come back together (M. Brooker, "Exponential Backoff And Jitter", AWS 2015).
    """

    def __init__(
        self,
        base: float = 0.25,
        cap: float = 15.0,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self._base = base
        self._cap = cap
        self.rand = rand
        self.attempt = 0

    def next(self) -> float:
        """Seconds to wait before the next try."""
        limit = min(self._cap, self._base * 2 ** min(self.attempt, 30))
        self.attempt += 1
        return self.rand() * limit

    def reset(self) -> None:
        """It works again."""
        self.attempt = 0
