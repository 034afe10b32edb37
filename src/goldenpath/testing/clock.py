"""A clock that stands still until somebody moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class FakeClock:
    """The engine's clock for tests: durable waits are over when the test says so.

    What is kept through restarts follows it: the ends of `RunContext.sleep`, expiries of approvals,
    ages for pruning. What lives in memory alone (timeouts of tools, a run's deadline) takes its
    real time. `now_ms` is Unix milliseconds.
    """

    def __init__(self, now_ms: int = 1_800_000_000_000) -> None:
        self._now_ms = now_ms
        self._watchers: list[Callable[[], None]] = []

    def now_ms(self) -> int:
        """Unix milliseconds."""
        return self._now_ms

    def monotonic(self) -> float:
        """Seconds of the event loop: durations are real."""
        return asyncio.get_running_loop().time()

    def advance(self, seconds: float) -> None:
        """Move the time on, and have whoever waits look at it. Raises `ValueError` if negative."""
        if seconds < 0:
            raise ValueError(f"advance({seconds}): time goes on, never back")
        self._now_ms += round(seconds * 1000)
        for watcher in list(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        """Have `watcher` called after each move, in the thread that moves it."""
        self._watchers.append(watcher)
