"""An event loop with virtual time, whose order of ready callbacks comes from a seed.

Dropping the loop is a crash: nothing that it ran goes on, at whatever await it stood.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import heapq
import random
import sys
import warnings
from typing import Any


class Crashed(Exception):
    """The simulated process died: the loop has run as many callbacks as it was given."""


class Quiet(Exception):
    """Nothing is left to run: a deadlock, unless everything has ended."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs callbacks one by one; when none is ready, time jumps to the next timer."""

    def __init__(self, rng: random.Random, start: float = 0.0) -> None:
        super().__init__()
        self._rng = rng
        self._now = start
        self._slack = rng.choice((0.0, 0.001, 0.005))
        self.left: int | None = None
        """Callbacks until the crash; None: no crash."""
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _, context: self.errors.append(context))

    def time(self) -> float:
        return self._now

    def _process_events(self, event_list: Any) -> None:
        raise AssertionError("no I/O in a simulation")

    def _write_to_self(self) -> None:
        pass

    def _run_once(self) -> None:
        ready: collections.deque[Any] = self._ready  # type: ignore[attr-defined]
        scheduled: list[Any] = self._scheduled  # type: ignore[attr-defined]
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)._scheduled = False
        if not ready:
            if not scheduled:
                raise Quiet
            self._now = max(self._now, scheduled[0].when())
        # What becomes ready together is in any order: who wakes first is the seed's choice. What
        # is ready already keeps its order, which asyncio promises and agents may rely on.
        # A busy process is late, never early: the clock is past whatever timer has fired.
        due: list[Any] = []
        until = self._now + self._slack
        while scheduled and scheduled[0].when() <= until:
            self._now = max(self._now, scheduled[0].when())
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                due.append(handle)
        if len(due) > 1:
            self._rng.shuffle(due)
        ready.extend(due)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    ready.appendleft(handle)
                    raise Crashed
            handle._run()

    def drop(self) -> None:
        """Forget everything that waits, silently: the process is dead."""
        tasks = list(asyncio.all_tasks(self))
        hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
        try:
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                # What the dead code does in its `finally` reaches nothing any more. A coroutine
                # that was to begin in the next turn never will: that is no mistake here.
                with contextlib.suppress(BaseException), warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    task.get_coro().close()  # type: ignore[union-attr]
            self._ready.clear()  # type: ignore[attr-defined]
            self._scheduled.clear()  # type: ignore[attr-defined]
        finally:
            sys.unraisablehook = hook
