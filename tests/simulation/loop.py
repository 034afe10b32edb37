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
import functools
import heapq
import random
import sys
import warnings
from collections.abc import Callable, Coroutine, Generator, Iterable
from contextvars import copy_context
from typing import Any

import msgspec


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
        with warnings.catch_warnings():
            # A coroutine that was to begin in the next turn never will: that is no mistake here.
            warnings.simplefilter("ignore", RuntimeWarning)
            for task in tasks:
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                # What the dead code does in its `finally` reaches nothing any more.
                with contextlib.suppress(BaseException):
                    task.get_coro().close()  # type: ignore[union-attr]
    finally:
        sys.unraisablehook = hook


class Callback(msgspec.Struct, eq=False, weakref=False):
    """A callback that waits for its turn or its time; what asyncio calls a handle.

    A struct, because there are so many: one is made without a call of Python code.
    """

    call: Any
    args: Any
    context: contextvars.Context
    process: Process | None
    at: float
    off: bool = False

    def cancel(self) -> None:
        self.off = True
        self.call = self.args = None

    def cancelled(self) -> bool:
        return self.off

    def when(self) -> float:
        return self.at


class Pause:
    """Time that passes for one task, as `asyncio.sleep` lets it pass.

    Its timer wakes the task itself, not a future first that wakes it one turn later: of all that
    a history calls, most was for that.
    """

    __slots__ = ("_alarm", "_asyncio_future_blocking", "_loop", "_seconds", "_waker")

    def __init__(self, loop: SimulatedLoop, seconds: float) -> None:
        self._loop = loop
        self._seconds = seconds

    def __await__(self) -> Generator[Pause]:
        self._asyncio_future_blocking = True
        yield self

    # -- what a task expects of something that it waits for --------------------------------------

    def get_loop(self) -> SimulatedLoop:
        return self._loop

    def add_done_callback(self, waker: Any, *, context: contextvars.Context) -> None:
        self._waker = waker
        loop = self._loop
        self._alarm: Callback = loop.call_at(loop.now + self._seconds, waker, self, context=context)

    def cancel(self, msg: Any = None) -> bool:
        alarm = self._alarm
        if alarm.off:
            return False
        alarm.cancel()
        self._loop.call_soon(self._waker, self, context=alarm.context)
        return True

    def result(self) -> None:
        cancelled = self._alarm.off
        del self._alarm  # it holds this: no cycle is left to the collector
        if cancelled:
            raise asyncio.CancelledError


class SimulatedTask(asyncio.Task[Any]):
    """Knows the process in which it was made, and as which of all tasks."""

    process: Process | None = None
    number = 0

    def __hash__(self) -> int:
        # Sets of tasks are gone through, by task groups among others: by their addresses, which
        # no seed repeats, they would come in another order in each process.
        return self.number


class SimulatedLoop(asyncio.AbstractEventLoop):
    """Runs callbacks one by one; when none is ready, time jumps to the next timer.

    No I/O, no threads, no debugging aids: half of a history's cost would be asyncio's own loop.
    """

    get_debug = staticmethod(bool)  # False; asked for with each future, so not by Python code

    def __init__(self, rng: random.Random) -> None:
        self.errors: list[dict[str, Any]] = []
        self.ready: collections.deque[Callback] = collections.deque()
        self.made = 0
        """Tasks that there have been."""
        self.create_future = functools.partial(asyncio.Future, loop=self)
        self._tasks: list[SimulatedTask] = []
        self._timers: list[tuple[float, int, Callback]] = []
        self._number = 0
        self._rng = rng
        self.now = 0.0
        self._slack = rng.choice((0.0, 0.001, 0.005))

    def time(self) -> float:
        return self.now

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def create_task(self, work: Any, *, context: Any = None, **named: Any) -> SimulatedTask:  # type: ignore[override]
        task = SimulatedTask(work, loop=self, context=context, **named)
        task.process = _CURRENT.get() if context is None else context.get(_CURRENT)
        task.number = self.made
        self.made += 1
        self._tasks.append(task)
        return task

    def tasks(self) -> list[SimulatedTask]:
        """Every task that has not ended, in the order in which they were made."""
        self._tasks = [task for task in self._tasks if not task.done()]
        return self._tasks.copy()

    def call_soon(self, callback: Any, *args: Any, context: Any = None) -> Any:
        if context is None:
            context = copy_context()
        handle = Callback(callback, args, context, context.get(_CURRENT), 0.0)
        self.ready.append(handle)
        return handle

    def call_later(self, delay: float, callback: Any, *args: Any, context: Any = None) -> Any:
        return self.call_at(self.now + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> Any:
        if context is None:
            context = copy_context()
        handle = Callback(callback, args, context, context.get(_CURRENT), when)
        self._number += 1
        heapq.heappush(self._timers, (when, self._number, handle))
        return handle

    def pause(self, seconds: float) -> Pause:
        """Give a task that waits for it back after some time."""
        return Pause(self, seconds)

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
        # CPython 3.11 puts each task into a weak set of them all, which takes as long as making it.
        everybody = getattr(asyncio.tasks, "_all_tasks", self)
        everybody.add = id  # this loop knows its tasks
        try:
            main = self.create_task(future)
            ready, timers = self.ready, self._timers
            while not main.done():
                if not ready or (timers and timers[0][0] <= self.now + self._slack):
                    self._take_due()
                for _ in range(len(ready)):
                    handle = ready.popleft()
                    if handle.off:
                        continue
                    process = handle.process
                    if (
                        process is not None
                        and (process.stopped or process.dead or process.left is not None)
                        and not process.runs(handle)
                    ):
                        continue
                    try:
                        handle.context.run(handle.call, *handle.args)
                    except (SystemExit, KeyboardInterrupt):
                        raise
                    except BaseException as error:
                        self.call_exception_handler(
                            {"message": "a callback failed", "exception": error}
                        )
            return main.result()
        finally:
            del everybody.add
            asyncio.events._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def close(self) -> None:
        self.ready.clear()
        self._timers.clear()
        self._tasks.clear()

    def _take_due(self) -> None:
        """Make ready what is due; if nothing is ready, time passes until something is."""
        ready, timers = self.ready, self._timers
        while timers and timers[0][2].off:
            heapq.heappop(timers)
        if not timers:
            if not ready:
                raise Quiet
            return
        if not ready and timers[0][0] > self.now:
            self.now = timers[0][0]
        # What becomes ready together is in any order: who wakes first is the seed's choice. What
        # is ready already keeps its order, which asyncio promises and agents may rely on.
        # A busy process is late, never early: the clock is past whatever timer has fired.
        until = self.now + self._slack
        if timers[0][0] > until:
            return
        due: list[Callback] = []
        while timers and timers[0][0] <= until:
            when, _, handle = heapq.heappop(timers)
            if when > self.now:
                self.now = when
            if not handle.off:
                due.append(handle)
        if len(due) > 1:
            self._rng.shuffle(due)
        ready.extend(due)
