"""What a long-running server asks of the interpreter."""

from __future__ import annotations

import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager

SWITCH_SECONDS = 0.001
"""How long a thread that comes back from the disk waits at most for a busy event loop. Python's
own 5 ms would be most of what a commit takes: the 99th percentile of the time to a run's first
event is half of that in the streaming benchmark."""


def tune_interpreter() -> None:
    """Look for reference cycles less often, and never among what start-up made; switch sooner.

    A server with many users holds many long-lived objects; the default thresholds (700 new ones)
    walk the young ones hundreds of times a second: a tenth of all CPU in the streaming benchmark.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    sys.setswitchinterval(SWITCH_SECONDS)


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
