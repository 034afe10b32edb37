"""`make simulate SEEDS=1000 FROM=1`, or `SEED=42 TRACE=1` for one with its trace."""

from __future__ import annotations

import argparse
import logging
import time

from tests.simulation.planted import PLANTED
from tests.simulation.world import run_seed


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--from", type=int, default=1, dest="first")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--planted", action="store_true", help="seeds until each bug is found")
    options = parser.parse_args()
    logging.disable()
    if options.planted:
        return planted(options.seeds)
    if options.seed is not None:
        report = run_seed(options.seed, trace=options.trace)
        print("\n".join(report.trace))
        print(f"seed {options.seed}: {report.crashes} crashes, {report.problems or 'clean'}")
        return 1 if report.problems else 0
    began = time.perf_counter()
    failed = crashes = 0
    for seed in range(options.first, options.first + options.seeds):
        report = run_seed(seed)
        crashes += report.crashes
        if report.problems:
            failed += 1
            print(f"seed {seed}: {report.problems[:3]}")
    seconds = time.perf_counter() - began
    print(
        f"{options.seeds} seeds, {failed} failed, {crashes} crashes, "
        f"{options.seeds / seconds:.1f} seeds/s"
    )
    return 1 if failed else 0


def planted(most: int) -> int:
    """Print how many seeds it takes to find each planted bug."""
    missed = 0
    for name, plant in PLANTED.items():
        found = next((seed for seed in range(1, most + 1) if run_seed(seed, plant).problems), None)
        missed += found is None
        print(f"{name:45} {'missed' if found is None else found}")
    print(f"{len(PLANTED) - missed} of {len(PLANTED)} found within {most} seeds")
    return 1 if missed else 0


raise SystemExit(main())
