"""A run's deadline: a budget of active time, measured by its owner's monotonic clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Budget:
    """Counts down while the run is active; calls `expired` once when nothing remains."""

    def __init__(self, remaining_ms: int, expired: Callable[[], None]) -> None:
        self._left = remaining_ms / 1000
        self._expired = expired
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Go on counting; does nothing while it counts."""
        if self._since is None:
            loop = asyncio.get_running_loop()
            self._since = loop.time()
            self._timer = loop.call_later(max(self._left, 0), self._expired)

    def stop(self) -> None:
        """Count no longer (the run waits); does nothing while it is stopped."""
        if self._since is not None:
            self._left = self.remaining
            self._since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Stop for good, and forget its owner."""
        self.stop()
        self._expired = _nothing

    @property
    def remaining(self) -> float:
        """Seconds of active time that are left, never negative."""
        if self._since is None:
            return max(self._left, 0.0)
        return max(self._left - (asyncio.get_running_loop().time() - self._since), 0.0)

    @property
    def remaining_ms(self) -> int:
        return int(self.remaining * 1000)


def _nothing() -> None:
    pass
