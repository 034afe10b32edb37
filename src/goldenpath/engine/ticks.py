"""One timer, or one turn of the loop, for all that falls due at about the same time.

Runs that stream flush and append all the time: a timer and a callback for each would cost more
than what they do, and what falls together meets in one commit group.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

TICK_SECONDS = 0.01

Callback = Callable[[], None]


class Ticks:
    """Callbacks of one event loop, called together."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._soon: list[Callback] = []
        self._due: dict[int, list[Callback]] = {}

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:  # asking for the running loop costs a system call
            self._loop = asyncio.get_running_loop()
        return self._loop

    def call_soon(self, callback: Callback) -> None:
        """Call in the next turn of the loop, in the order of asking."""
        if not self._soon:
            self._running().call_soon(self._turn)
        self._soon.append(callback)

    def call_within(self, seconds: float, callback: Callback) -> None:
        """Call at the last tick that is not later than `seconds` from now."""
        loop = self._running()
        tick = math.floor((loop.time() + seconds) / TICK_SECONDS)
        due = self._due.get(tick)
        if due is None:
            self._due[tick] = [callback]
            loop.call_at(tick * TICK_SECONDS, self._tick, tick)
        else:
            due.append(callback)

    def _turn(self) -> None:
        callbacks, self._soon = self._soon, []
        self._call(callbacks)

    def _tick(self, tick: int) -> None:
        self._call(self._due.pop(tick))

    def _call(self, callbacks: list[Callback]) -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception as error:  # one user's trouble is not another's
                self._running().call_exception_handler(
                    {"message": f"{callback!r} failed", "exception": error}
                )
