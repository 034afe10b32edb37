"""An event loop with virtual time and simulated processes, whose order comes from a seed.

Every callback belongs to the process in whose context it was made, or to none: the world outside.
A process can be killed between any two of its callbacks, that is at any await, and it can be
stopped and continued: nothing of it runs meanwhile, while time passes.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import heapq
import random
import sys
import warnings
import weakref
from collections.abc import Callable, Coroutine
from typing import Any


class Quiet(Exception):
    """Nothing is left to run: a deadlock, unless everything has ended."""


class Process:
    """What dies together. Its memory is whatever only its tasks reach."""

    def __init__(self, name: str, on_death: Callable[[Process], None]) -> None:
        self.name = name
        self.made = 0
        self.made_at_stop = 0
        self.dead = False
        self.stopped = False
        self.left: int | None = None
        """Callbacks until it dies; None: it does not."""
        self.held: list[Any] = []
        """What fell due while it was stopped."""
        self.tasks: weakref.WeakKeyDictionary[asyncio.Task[Any], int] = weakref.WeakKeyDictionary()
        """With the order in which they were made."""
        self.context = contextvars.copy_context()
        self.context.run(_CURRENT.set, self)
        self._on_death = on_death

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in it."""
        return asyncio.get_running_loop().create_task(work, context=self.context.copy())

    def stop(self) -> None:
        """As SIGSTOP does."""
        self.stopped = True
        self.made_at_stop = self.made

    def go_on(self) -> None:
        """As SIGCONT does."""
        self.stopped = False
        held, self.held = self.held, []
        asyncio.get_running_loop()._ready.extend(held)  # type: ignore[attr-defined]

    def kill(self) -> None:
        """As SIGKILL does."""
        if not self.dead:
            self.dead = True
            self._on_death(self)
            drop(sorted(self.tasks, key=self.tasks.__getitem__))
            self.held.clear()


_CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def current_process() -> Process | None:
    """The process in which this runs."""
    return _CURRENT.get()


_OWNERS: weakref.WeakKeyDictionary[Any, Process] = weakref.WeakKeyDictionary()


def drop(tasks: list[asyncio.Task[Any]]) -> None:
    """Forget tasks silently: their process is dead."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        for task in tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
            # What the dead code does in its `finally` reaches nothing any more. A coroutine
            # that was to begin in the next turn never will: that is no mistake here.
            with contextlib.suppress(BaseException), warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                task.get_coro().close()  # type: ignore[union-attr]
    finally:
        sys.unraisablehook = hook


class SimulatedLoop(asyncio.BaseEventLoop):
    """Runs callbacks one by one; when none is ready, time jumps to the next timer."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__()
        self._rng = rng
        self._now = 0.0
        self._slack = rng.choice((0.0, 0.001, 0.005))
        self.errors: list[dict[str, Any]] = []
        self.set_exception_handler(self._note)
        self.set_task_factory(_task)

    def _note(self, _: Any, context: dict[str, Any]) -> None:
        future = context.get("future") or context.get("task")
        owners = [_OWNERS.get(one) for one in getattr(future, "_children", (future,))]
        if not any(owner is not None and owner.dead for owner in owners):
            self.errors.append(context)

    def _asyncgen_finalizer_hook(self, agen: Any) -> None:
        """Generators of dead processes are not finalized: nobody is left to do it."""

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
            process: Process | None = handle._context.get(_CURRENT)
            if process is not None:
                if process.dead:
                    continue
                if process.stopped:
                    process.held.append(handle)
                    continue
                if process.left is not None:
                    process.left -= 1
                    if process.left < 0:
                        process.kill()
                        continue
            handle._run()


def _task(loop: Any, work: Any, context: Any = None) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
    process = _CURRENT.get() if context is None else context.get(_CURRENT)
    if process is not None:
        process.tasks[task] = process.made
        _OWNERS[task] = process
        process.made += 1
    return task
