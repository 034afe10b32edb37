"""`make fuzz SECONDS=60`: every target in turn, guided by coverage; exit 1 if one fails."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

_MOST_BYTES = 100_000
_ROOT = Path(__file__).parents[2]
_BROKEN = _ROOT / ".fuzz"


@dataclass(frozen=True)
class Outcome:
    """What came of a target: how often it ran, and the input that broke it."""

    name: str
    executions: int
    inputs: int
    broken: bytes | None
    said: str


def fuzz(name: str, seconds: int, *, keep: bool = True) -> Outcome:
    """Throw at one target, from the kept corpus on; `keep` what reached something new."""
    with tempfile.TemporaryDirectory() as folder:
        found, broken = Path(folder) / "found", Path(folder) / "broken"
        for path in (found, broken):
            path.mkdir()
        kept = 0
        for number, one in enumerate([*seeds()[name], *corpus.load(name)]):
            (found / f"{number}").write_bytes(one)
        flags = [f"-max_total_time={seconds}", f"-max_len={_MOST_BYTES}", "-print_final_stats=1",
                 "-timeout=20", "-rss_limit_mb=4096", f"-artifact_prefix={broken}/"]  # fmt: skip
        done = _run(name, [*flags, str(found)])
        executions = re.search(r"stat::number_of_executed_units:\s+(\d+)", done)
        artifacts = list(broken.iterdir())
        if keep and not artifacts:
            kept = corpus.keep(name, (path.read_bytes() for path in found.iterdir()))
        return Outcome(
            name,
            int(executions[1]) if executions else 0,
            kept,
            artifacts[0].read_bytes() if artifacts else None,
            done,
        )


def _run(name: str, flags: list[str]) -> str:
    command = [sys.executable, "-m", "tests.fuzz.drive", name, *flags]
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        command, cwd=_ROOT, env=environment, capture_output=True, text=True, errors="replace"
    )
    return done.stdout + done.stderr


def _error(said: str) -> list[str]:
    lines = said.splitlines()
    first = next((n for n, line in enumerate(lines) if "Uncaught" in line), len(lines) - 30)
    return lines[first:]


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, and say how often and what broke."""
    parser = argparse.ArgumentParser(prog="make fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", help="only these")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args(argv)
    names = options.targets or list(TARGETS)
    broken = total = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for outcome in pool.map(lambda name: fuzz(name, options.seconds), names):
            total += outcome.executions
            print(f"{outcome.name:16} {outcome.executions:12,} executions, "
                  f"{outcome.inputs} inputs kept", flush=True)  # fmt: skip
            if outcome.broken is not None:
                broken += 1
                _BROKEN.mkdir(exist_ok=True)
                (_BROKEN / outcome.name).write_bytes(outcome.broken)
                print(f"  BROKEN by {_BROKEN / outcome.name}")
                print("\n".join(f"  {line[:200]}" for line in _error(outcome.said)))
            elif not outcome.executions:
                broken += 1
                print("  did not run:\n  " + "\n  ".join(outcome.said.splitlines()[-20:]))
    print(f"{len(names)} targets, {options.seconds} s each, {total:,} executions, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
