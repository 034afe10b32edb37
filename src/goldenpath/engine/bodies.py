"""Calling user code that may hang: in the loop or in a thread, abandoned if it will not end."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from goldenpath.engine.ports import Observer


class Abandoned:
    """The host's bounded set of bodies that would not stop. Their late results are dropped."""

    def __init__(self, most: int, observer: Observer) -> None:
        self._most = most
        self._observer = observer
        self._tasks: set[asyncio.Future[Any]] = set()
        self.total = 0

    @property
    def alive(self) -> int:
        """How many of them still run."""
        return len(self._tasks)

    @property
    def full(self) -> bool:
        """No more runs should be begun on a host with this many."""
        return len(self._tasks) >= self._most

    def add(self, body: asyncio.Future[Any], what: str) -> None:
        """Take a body that did not end when it was cancelled."""
        self.total += 1
        self._tasks.add(body)
        body.add_done_callback(self._gone)
        self._observer.body_abandoned(what, self.alive)

    def _gone(self, body: asyncio.Future[Any]) -> None:
        self._tasks.discard(body)
        self._observer.abandoned_body_ended(self.alive)
        if not body.cancelled():
            body.exception()  # asked for, so that nobody reports it as lost


async def until_done(body: asyncio.Future[Any], seconds: float | None = None) -> None:
    """Wait for the end of a body, but at most so long; how it ended is for the caller to ask.

    As `asyncio.wait`, whose machinery for many futures costs more than most that is done here.
    """
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake(_: object = None) -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = None if seconds is None else loop.call_later(seconds, wake)
    body.add_done_callback(wake)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        body.remove_done_callback(wake)


async def stop(body: asyncio.Future[Any], seconds: float, abandoned: Abandoned, what: str) -> None:
    """Cancel a body and wait for its end; abandon it after `seconds`. What it raised is nobody's.

    Being cancelled itself meanwhile shortens nothing: a body is awaited or counted, never lost.
    """
    cancelled = False
    if not body.done():
        body.cancel()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while not body.done() and (left := end - loop.time()) > 0:
            try:
                await until_done(body, left)
            except asyncio.CancelledError:
                cancelled = True
    if not body.done():
        abandoned.add(body, what)
    elif not body.cancelled():
        body.exception()
    if cancelled:
        raise asyncio.CancelledError


def call(
    function: Callable[..., Any], arguments: dict[str, Any], is_async: bool, gate: asyncio.Semaphore
) -> asyncio.Future[Any]:
    """Begin a body: a coroutine function as a task, any other function in a thread of its own."""
    if is_async:
        return asyncio.create_task(_awaited(function(**arguments)))
    return asyncio.create_task(_in_thread(lambda: function(**arguments), gate))


async def _awaited(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


async def _in_thread(function: Callable[[], Any], gate: asyncio.Semaphore) -> Any:
    """Run in a daemon thread: one that never ends must not keep the process from ending.

    The user's gate is given back when the thread has really ended, so that blocked threads count.
    """
    loop = asyncio.get_running_loop()
    await gate.acquire()
    result: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def deliver(value: Any, error: BaseException | None) -> None:
        gate.release()
        if not result.done():
            if error is None:
                result.set_result(value)
            else:
                result.set_exception(error)

    def work() -> None:
        value: Any = None
        error: BaseException | None = None
        try:
            value = context.run(function)
        except StopIteration as stopped:  # a future cannot hold it
            error = RuntimeError(f"StopIteration: {stopped}")
        except BaseException as raised:
            error = raised
        try:
            loop.call_soon_threadsafe(deliver, value, error)
        except RuntimeError:
            pass  # the loop is closed: nobody is left to hear of it

    threading.Thread(target=work, name="goldenpath-tool", daemon=True).start()
    # A thread cannot be cancelled: keep this task alive until it ends, so that it is counted.
    cancelled = False
    while not result.done():
        try:
            await asyncio.shield(result)
        except asyncio.CancelledError:
            if result.done():
                break
            cancelled = True
        except BaseException:
            break
    if cancelled:
        if not result.cancelled():
            result.exception()
        raise asyncio.CancelledError
    return result.result()
