"""`make proof`, or `make proof HOURS=8`: run every instrument, and write what it saw."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import secrets
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import apsw
import psutil

from goldenpath.server.app import software_version
from tests.proof.kills import kill_often
from tests.proof.measures import ROOT, WORKERS, fuzz_all, mutate, run_tests, simulate
from tests.proof.page import page
from tests.proof.report import Proof, markdown
from tests.simulation.work import find_planted

RECORD = Path(__file__).with_name("record.md")
"""What was run once and takes too long for this."""
OPEN_RUNS = 1000


def main() -> int:
    """Measure and write; 1 if the promise is broken."""
    parser = argparse.ArgumentParser(prog="make proof", description=__doc__)
    parser.add_argument("--hours", type=float, default=0.0, help="simulate and fuzz for so long")
    parser.add_argument("--out", type=Path, default=ROOT / "proof", help="folder of the HTML page")
    parser.add_argument("--from", type=int, default=None, dest="first", help="first seed")
    options = parser.parse_args()
    long = options.hours * 3600
    first = secrets.randbelow(10**9) + 10**9 if options.first is None else options.first
    began = datetime.now(UTC)
    _tell("kill -9 of real servers")
    kills = asyncio.run(kill_often(OPEN_RUNS, 6 + int(options.hours * 30), _tell))
    simulated = []
    for machines, users in ((2, 5), (3, 4)):
        _tell(f"simulating {machines} hosts and {users} users, from seed {first}")
        simulated.append(simulate(machines, users, first, max(60.0, long * 0.35)))
    _tell("looking for planted bugs")
    planted = dict(find_planted(2000, WORKERS))
    _tell("fuzzing")
    fuzzed = fuzz_all(max(5, int(long * 0.25 / 13)))
    _tell("mission-critical cases")
    mission = run_tests("tests/mission_critical")
    _tell("mutants")
    mutated = mutate(None if options.hours else 10)
    about = {
        "date": f"{began:%Y-%m-%d %H:%M} UTC",
        "command": "`make proof" + (f" HOURS={options.hours:g}" if options.hours else "") + "`",
        "took": f"{(datetime.now(UTC) - began).total_seconds() / 60:.0f} minutes",
        "machine": f"{os.cpu_count()} cores, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}, {platform.machine()}",
        "versions": f"goldenpath {software_version()} at {_commit()}, Python "
        f"{platform.python_version()}, SQLite {apsw.sqlite_lib_version()}",
    }
    proof = Proof(
        about, simulated, planted, kills, fuzzed, mutated, mission, RECORD.read_text().strip()
    )
    options.out.mkdir(exist_ok=True)
    (options.out / "index.html").write_text(page(proof))
    (ROOT / "docs" / "proof.md").write_text(markdown(proof))
    red = proof.red()
    for problem in red:
        print(f"BROKEN: {problem}")
    print(f"{options.out / 'index.html'} and docs/proof.md: {len(red)} broken")
    return 1 if red else 0


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or "an export"


def _tell(text: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
