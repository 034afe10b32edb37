"""A smaller history with the same problem: fewer users, less harm."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tests.simulation.world import Plant, Report, run_seed


class Smaller(NamedTuple):
    """How to run it, and what it reports."""

    users: int
    steps: tuple[int, ...]
    report: Report

    def command(self, machines: int) -> str:
        """The command that shows it."""
        steps = ",".join(map(str, self.steps)) or "none"
        return (
            f"make simulate SEED={self.report.seed} MACHINES={machines} USERS={self.users} "
            f"STEPS={steps} TRACE=1"
        )


def shrink(
    report: Report, plant: Plant | None = None, *, machines: int = 2, users: int = 3
) -> Smaller:
    """Take away what is not needed for one of the problems of a report."""
    wanted = _kinds(report)
    best = Smaller(users, tuple(range(report.steps)), report)

    def attempt(users: int, steps: Sequence[int]) -> bool:
        nonlocal best
        tried = run_seed(report.seed, plant, machines=machines, users=users, steps=steps)
        if not wanted & _kinds(tried):
            return False
        best = Smaller(users, tuple(steps), tried)
        return True

    for fewer in range(1, users):
        if attempt(fewer, best.steps):
            break
    size = max(len(best.steps), 1)
    while size:
        begin = 0
        while begin < len(best.steps):
            if not attempt(best.users, best.steps[:begin] + best.steps[begin + size :]):
                begin += size
        size //= 2
    return best


def _kinds(report: Report) -> set[str]:
    """Problems without ids and numbers."""
    return {
        re.sub(r"[0-9a-f]{4,}|\d+|'[^']*'|\[.*|\{.*|\(.*", "", problem)[:60]
        for problem in report.problems
    }
