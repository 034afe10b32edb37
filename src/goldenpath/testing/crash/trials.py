"""Starts the processes of a crash test, and reads what they left."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, get_args

import msgspec

from goldenpath.testing.crash.process import (
    NOTES,
    OUTPUT,
    Asked,
    Died,
    Ended,
    Entered,
    Note,
    Order,
    When,
    run_process,
)

_decoder = msgspec.json.Decoder(Note)
_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


class Point(NamedTuple):
    """Where a run is to crash: at an entry's seq; None: nowhere."""

    at: int | None
    when: When


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One run of the agent. `at` is the entry of its crash; None if it was left alone."""

    at: int | None
    when: When
    crashed: bool
    """False if the run ended before it came to that entry."""
    asked: list[Asked]
    entered: list[Entered]
    end: Ended | None
    problem: str | None
    """Why there is no end: it took too long, or the process failed."""


class Trials:
    """Runs one agent on one message, as often as is asked, at most `jobs` at a time."""

    def __init__(self, target: str, agent: str, message: str, *, jobs: int, seconds: float) -> None:
        self._target = target
        self._agent = agent
        self._message = message
        self._jobs = jobs
        self._seconds = seconds
        self._context: Any = multiprocessing.get_context(_METHOD)
        if _METHOD == "forkserver":
            # Our own modules alone: the application is imported anew by each process.
            self._context.set_forkserver_preload(["goldenpath.testing.crash.process"])

    def undisturbed(self, count: int) -> list[Trial]:
        """Run it without a crash."""
        return list(self._all([Point(None, "before")] * count))

    def crashed_at(self, seqs: list[int]) -> Iterator[Trial]:
        """Run it with a crash right before and right after each entry, in this order."""
        return self._all([Point(seq, when) for seq in seqs for when in get_args(When)])

    def _all(self, points: list[Point]) -> Iterator[Trial]:
        with ThreadPoolExecutor(self._jobs) as pool:
            yield from pool.map(self._one, points)

    def _one(self, point: Point) -> Trial:
        with TemporaryDirectory(prefix="goldenpath-crash-") as name:
            folder = Path(name)
            order = Order(
                target=self._target,
                agent=self._agent,
                message=self._message,
                folder=name,
                die_at=point.at,
                die=point.when,
            )
            problem = self._process(order, folder)
            crashed = bool(_notes(folder, Died))
            if crashed:
                problem = self._process(msgspec.structs.replace(order, die_at=None), folder)
            ends = _notes(folder, Ended)
            return Trial(
                at=point.at,
                when=point.when,
                crashed=crashed,
                asked=_notes(folder, Asked),
                entered=_notes(folder, Entered),
                end=ends[0] if ends else None,
                problem=problem,
            )

    def _process(self, order: Order, folder: Path) -> str | None:
        """Run a process to its end, by its own hand or not. Why it failed, if it did."""
        process = self._context.Process(target=run_process, args=(order,), daemon=True)
        process.start()
        process.join(self._seconds)
        try:
            if process.exitcode is None:
                process.kill()
                process.join()
                return f"no answer within {self._seconds:g} s"
            if process.exitcode and not _notes(folder, Ended):
                said = (folder / OUTPUT).read_text(errors="replace").strip()
                last = said.splitlines()[-1] if said else f"exit code {process.exitcode}"
                return f"the process failed: {last}"
            return None
        finally:
            process.close()


def _notes(folder: Path, kind: type[Any]) -> list[Any]:
    file = folder / NOTES
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [note for line in lines if isinstance(note := _decoder.decode(line), kind)]
