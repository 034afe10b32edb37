"""What a long-running server asks of the interpreter."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


def tune_garbage_collection() -> None:
    """Look for reference cycles less often, and never among what start-up made.

    A server with many users holds many long-lived objects; the default thresholds (700 new ones)
    walk the young ones hundreds of times a second: a tenth of all CPU in the streaming benchmark.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@contextmanager
def tuned_garbage_collection() -> Generator[None]:
    """Tune it until left: an interpreter that ends with frozen objects leaks what they own."""
    thresholds = gc.get_threshold()
    tune_garbage_collection()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)
