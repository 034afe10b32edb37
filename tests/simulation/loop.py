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
from collections.abc import Callable, Coroutine, Iterable
from typing import Any


class Quiet(Exception):
    """Nothing is left to run: a deadlock, unless everything has ended."""


class Process:
    """What dies together. Its memory is whatever only its tasks reach."""

    def __init__(self, name: str, on_death: Callable[[Process], None]) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimulatedLoop)
        self.loop = loop
        self.name = name
        self.made_at_stop = 0
        """How many tasks there had been when it was stopped."""
        self.dead = False
        self.stopped = False
        self.left: int | None = None
        """Callbacks until it dies; None: it does not."""
        self.held: list[Callback] = []
        """What fell due while it was stopped."""
        self.context = contextvars.copy_context()
        self.context.run(_CURRENT.set, self)
        self._on_death = on_death

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run a coroutine in it."""
        return self.loop.create_task(work, context=self.context.copy())

    def stop(self) -> None:
        """As SIGSTOP does."""
        self.stopped = True
        self.made_at_stop = self.loop.made

    def go_on(self) -> None:
        """As SIGCONT does."""
        self.stopped = False
        held, self.held = self.held, []
        self.loop.ready.extend(held)

    def kill(self) -> None:
        """As SIGKILL does."""
        if not self.dead:
            self.dead = True
            self._on_death(self)
            drop(task for task in self.loop.tasks() if task.process is self)
            self.held.clear()

    def runs(self, handle: Callback) -> bool:
        """True if a callback of it may run now; one of a stopped process is kept."""
        if self.dead:
            return False
        if self.stopped:
            self.held.append(handle)
            return False
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                self.kill()
                return False
        return True


_CURRENT: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)


def current_process() -> Process | None:
    """The process in which this runs."""
    return _CURRENT.get()


def drop(tasks: Iterable[SimulatedTask]) -> None:
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


class Callback:
    """A callback that waits for its turn or its time; what asyncio calls a handle."""

    __slots__ = ("_args", "_at", "_call", "_context", "off", "process")

    def __init__(self, call: Any, args: Any, context: Any, at: float) -> None:
        self._call = call
        self._args = args
        self._context: contextvars.Context = (
            contextvars.copy_context() if context is None else context
        )
        self._at = at
        self.process: Process | None = self._context.get(_CURRENT)
        self.off = False

    def cancel(self) -> None:
        self.off = True
        self._call = self._args = None

    def cancelled(self) -> bool:
        return self.off

    def when(self) -> float:
        return self._at

    def run(self) -> None:
        self._context.run(self._call, *self._args)


class SimulatedTask(asyncio.Task[Any]):
    """Knows the process in which it was made, and as which of all tasks."""

    process: Process | None = None
    number = 0


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks one by one; when none is ready, time jumps to the next timer.

    No I/O, no threads, no debugging aids: half of a history's cost would be asyncio's own loop.
    """

    def __init__(self, rng: random.Random) -> None:
        self.errors: list[dict[str, Any]] = []
        self.ready: collections.deque[Callback] = collections.deque()
        self.made = 0
        """Tasks that there have been."""
        self._timers: list[tuple[float, int, Callback]] = []
        self._number = 0
        self._rng = rng
        self._now = 0.0
        self._slack = rng.choice((0.0, 0.001, 0.005))

    def time(self) -> float:
        return self._now

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, work: Any, *, context: Any = None, **named: Any) -> SimulatedTask:  # type: ignore[override]
        task = SimulatedTask(work, loop=self, context=context, **named)
        task.process = _CURRENT.get() if context is None else context.get(_CURRENT)
        task.number = self.made
        self.made += 1
        return task

    def tasks(self) -> list[SimulatedTask]:
        """Every task that has not ended, in the order in which they were made."""
        found = [one for one in asyncio.all_tasks(self) if isinstance(one, SimulatedTask)]
        return sorted(found, key=lambda task: task.number)

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = Callback(callback, args, context, 0.0)
        self.ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        handle = Callback(callback, args, context, when)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note what asyncio complains of, unless it is of a dead process."""
        future: Any = context.get("future") or context.get("task")
        owners = [getattr(one, "process", None) for one in getattr(future, "_children", (future,))]
        if not any(owner is not None and owner.dead for owner in owners):
            self.errors.append(context)

    def run_until_complete(self, future: Any) -> Any:
        """Run a coroutine to its end. Raises Quiet if nothing is left to run before."""
        hooks = sys.get_asyncgen_hooks()
        # Generators of dead processes are not finalized: nobody is left to do it.
        sys.set_asyncgen_hooks(finalizer=lambda _: None)
        asyncio.events._set_running_loop(self)
        try:
            main = self.create_task(future)
            while not main.done():
                self._turn()
            return main.result()
        finally:
            asyncio.events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def close(self) -> None:
        self.ready.clear()
        self._timers.clear()

    def _turn(self) -> None:
        ready, timers = self.ready, self._timers
        while timers and timers[0][2].off:
            heapq.heappop(timers)
        if not ready:
            if not timers:
                raise Quiet
            self._now = max(self._now, timers[0][0])
        # What becomes ready together is in any order: who wakes first is the seed's choice. What
        # is ready already keeps its order, which asyncio promises and agents may rely on.
        # A busy process is late, never early: the clock is past whatever timer has fired.
        until = self._now + self._slack
        if timers and timers[0][0] <= until:
            due: list[Callback] = []
            while timers and timers[0][0] <= until:
                when, _, handle = heapq.heappop(timers)
                if when > self._now:
                    self._now = when
                if not handle.off:
                    due.append(handle)
            if len(due) > 1:
                self._rng.shuffle(due)
            ready.extend(due)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.off:
                continue
            process = handle.process
            if process is not None and not process.runs(handle):
                continue
            try:
                handle.run()
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:
                self.call_exception_handler({"message": "a callback failed", "exception": error})
