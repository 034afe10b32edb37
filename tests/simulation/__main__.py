"""`make simulate SEEDS=1000 FROM=1`, or `SEED=42 TRACE=1` for one with its trace."""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator

from tests.simulation.planted import FOUND_BY, PLANTED
from tests.simulation.shrink import shrink
from tests.simulation.work import Chunk, find_planted, processes, run_chunk, settle
from tests.simulation.world import Report, run_seed

_CHUNK = 25
_SHRUNK = 5
"""Of so many failures a smaller history is looked for."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument(
        "--steps", type=_steps, help="of one seed's harm only these, by number; or none"
    )
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--machines", type=int, default=2)
    parser.add_argument("--users", type=int, default=3)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--planted",
        action="store_true",
        help="tell how many seeds it takes to find each planted bug, and keep that for the tests",
    )
    options = parser.parse_args()
    logging.disable()
    if options.planted:
        return planted(options.seeds, options.workers)
    if options.seed is not None:
        report = run_seed(
            options.seed,
            machines=options.machines,
            users=options.users,
            steps=options.steps,
            trace=options.trace,
        )
        print("\n".join(report.trace))
        print(f"seed {options.seed}: {_told(report.injected)}; {report.problems or 'clean'}")
        return 1 if report.problems else 0
    began = time.perf_counter()
    injected: Counter[str] = Counter()
    failed, simulated = 0, 0.0
    for report in _reports(options):
        injected += report.injected
        simulated += report.seconds
        if report.problems:
            failed += 1
            print(f"seed {report.seed}: {report.problems[:3]}", flush=True)
            if failed <= _SHRUNK:
                small = shrink(report, machines=options.machines, users=options.users)
                print(f"  smaller: {small.command(options.machines)}")
                print(f"  {small.report.problems[:3]}", flush=True)
    seconds = time.perf_counter() - began
    print(f"{options.machines} machines, {options.users} users, {simulated:.0f} simulated seconds")
    print(f"injected: {_told(injected)}")
    print(
        f"{options.seeds} seeds, {failed} failed, {injected['crash']} crashes, "
        f"{options.seeds / seconds:.1f} seeds/s"
    )
    return 1 if failed else 0


def _steps(text: str) -> list[int]:
    return [] if text == "none" else [int(number) for number in text.split(",")]


def _told(injected: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in sorted(injected.items())) or "nothing"


def _reports(options: argparse.Namespace) -> Iterator[Report]:
    end = options.first + options.seeds
    chunks: list[Chunk] = [
        (first, min(first + _CHUNK, end), options.machines, options.users)
        for first in range(options.first, end, _CHUNK)
    ]
    if options.workers == 1:
        settle()
        for chunk in chunks:
            yield from run_chunk(chunk)
        return
    with processes(options.workers) as pool:
        for reports in pool.map(run_chunk, chunks):
            yield from reports


def planted(most: int, workers: int) -> int:
    """Print how many seeds it takes to find each planted bug."""
    missed = 0
    kept: dict[str, int] = {}
    for name, found in find_planted(most, workers):
        missed += found is None
        if found is not None:
            kept[name] = found
        print(f"{name:45} {'missed' if found is None else found}", flush=True)
    FOUND_BY.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    print(f"{len(PLANTED) - missed} of {len(PLANTED)} found within {most} seeds")
    return 1 if missed else 0


if __name__ == "__main__":  # processes that help import this module
    raise SystemExit(main())
