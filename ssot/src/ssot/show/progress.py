"""Progress on the standard error stream, of what takes longer than a second."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from ssot.index.workers import Tell

_AFTER_SECONDS = 1.0


@contextmanager
def progress() -> Generator[Tell]:
    """A function to tell of what is done; nothing is shown where nobody looks."""
    began = time.monotonic()
    shown: dict[str, Any] = {}
    bar: Any = None

    def tell(what: str, done: int, total: int) -> None:
        nonlocal bar
        if not sys.stderr.isatty() or time.monotonic() - began < _AFTER_SECONDS:
            return
        if bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                MofNCompleteColumn,
                Progress,
                TextColumn,
                TimeRemainingColumn,
            )

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                       TimeRemainingColumn())  # fmt: skip
            bar = Progress(*columns, console=Console(stderr=True), transient=True)
            bar.start()
        if what not in shown:
            shown[what] = bar.add_task(what, total=total)
        bar.update(shown[what], completed=done, total=total)

    try:
        yield tell
    finally:
        if bar is not None:
            bar.stop()
