"""What a long-running server asks of the interpreter."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

SWITCH_SECONDS = 0.001
"""How long a thread that comes back from the disk waits at most for a busy event loop. Python's
own 5 ms would be most of what a commit takes: the 99th percentile of the time to a run's first
event is half of that in the streaming benchmark."""

TRIM_SECONDS = 30.0
"""Pause between two looks for memory to give back; one takes milliseconds, in a thread."""


def tune_interpreter() -> None:
    """Look for reference cycles less often, and never among what start-up made; switch sooner.

    A server with many users holds many long-lived objects; the default thresholds (700 new ones)
    walk the young ones hundreds of times a second: a tenth of all CPU in the streaming benchmark.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(SWITCH_SECONDS)
    _keep_large_blocks_apart()


def _keep_large_blocks_apart() -> None:
    """Let large blocks go back to the system when they are freed, where glibc would keep them.

    It raises by itself the size from which a block is given back, up to 32 MiB, and has a heap for
    each thread: after a burst of large answers a server would stay at its peak for ever.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 128 * 1024)
        mallopt(_M_ARENA_MAX, 2)


async def give_memory_back() -> None:
    """For ever: give what small blocks have left free back to the system, too."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    while trim is not None:
        await asyncio.sleep(TRIM_SECONDS)
        await asyncio.to_thread(trim, 0)


_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""Parameters of `mallopt`; see malloc.h."""


@contextmanager
def tuned_interpreter() -> Generator[None]:
    """Tune it until left: an interpreter that ends with frozen objects leaks what they own."""
    thresholds, interval = gc.get_threshold(), sys.getswitchinterval()
    tune_interpreter()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
        sys.setswitchinterval(interval)
