"""Finds and names code that blocks the event loop.

A thread pings the loop; when the answer takes longer than the threshold it writes the stack that
the loop's thread has at that moment. It can name such code, not bound it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import sysconfig
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import FrameType

logger = logging.getLogger("goldenpath.watchdog")

_PING_SECONDS = 0.05
_LIBRARIES = (sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"))


class Watchdog:
    """Watches one loop from a thread of its own.

    `blocked(seconds)` is called on that thread after each block.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        threshold: float,
        blocked: Callable[[float], None],
    ) -> None:
        self._loop = loop
        self._threshold = threshold
        self._blocked = blocked
        self._answered = threading.Event()
        self._stopping = threading.Event()
        self._loop_thread = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="goldenpath-watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch; call on the loop's own thread."""
        self._loop_thread = threading.get_ident()
        self._thread.start()

    def stop(self) -> None:
        """Stop watching; returns when the thread has ended."""
        self._stopping.set()
        self._answered.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_PING_SECONDS):
            self._answered.clear()
            try:
                self._loop.call_soon_threadsafe(self._answered.set)
            except RuntimeError:  # the loop is closed
                return
            began = time.monotonic()
            if not self._answered.wait(self._threshold):
                self._report()
                self._answered.wait()
            seconds = time.monotonic() - began
            if seconds > self._threshold and not self._stopping.is_set():
                self._blocked(seconds)
                logger.warning(
                    "the event loop goes on", extra={"blocked_ms": round(seconds * 1000)}
                )

    def _report(self) -> None:
        frame = sys._current_frames().get(self._loop_thread)  # pyright: ignore[reportPrivateUsage]
        stack = _stack(frame)
        logger.warning(
            "the event loop is blocked by %s; run such code in a thread or a sync tool",
            _culprit(stack),
            extra={
                "threshold_ms": round(self._threshold * 1000),
                "stack": " < ".join(f"{file}:{line} {name}" for file, line, name in stack[:25]),
            },
        )


def _stack(frame: FrameType | None) -> list[tuple[str, int, str]]:
    """Give (file, line, function) from the innermost frame outwards."""
    stack: list[tuple[str, int, str]] = []
    while frame is not None:
        code = frame.f_code
        stack.append((code.co_filename, frame.f_lineno, code.co_qualname))
        frame = frame.f_back
    return stack


def _culprit(stack: list[tuple[str, int, str]]) -> str:
    """Name the innermost code that is neither the standard library's nor a package's."""
    for file, line, name in stack:
        if not file.startswith(_LIBRARIES) and not file.startswith("<"):
            return f"{name} ({file}:{line})"
    return f"{stack[0][2]} ({stack[0][0]}:{stack[0][1]})" if stack else "unknown code"


@asynccontextmanager
async def watched(threshold: float, blocked: Callable[[float], None]) -> AsyncGenerator[None]:
    """Watch the running loop while the context is open."""
    watchdog = Watchdog(asyncio.get_running_loop(), threshold, blocked)
    watchdog.start()
    try:
        yield
    finally:
        await asyncio.to_thread(watchdog.stop)
