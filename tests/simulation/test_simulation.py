"""A short form of `make simulate`: fixed seeds are clean, fresh ones too, planted bugs are found."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.simulation.planted import FOUND_BY, PLANTED
from tests.simulation.shrink import shrink
from tests.simulation.world import run_seed

FIXED = range(1, 401)
FRESH_SECONDS = 11.0
"""For each size: with the fixed seeds about a minute."""
SEEDS_TO_FIND = 2000


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(FIXED.start, FIXED.stop, 50))
def test_fixed_seeds_hold_every_invariant(first: int) -> None:
    failed = {
        seed: r.problems for seed in range(first, first + 50) if (r := run_seed(seed)).problems
    }
    assert not failed


@pytest.mark.parametrize(("machines", "users"), [(1, 2), (2, 3), (2, 5), (3, 4)])
def test_fresh_seeds_hold_every_invariant(machines: int, users: int) -> None:
    start = random.SystemRandom().randrange(10**6, 10**9)
    print(f"seeds from {start}, {machines} machines, {users} users")
    until = time.monotonic() + FRESH_SECONDS
    seed = start
    while time.monotonic() < until or seed < start + 20:
        report = run_seed(seed, machines=machines, users=users)
        assert not report.problems, f"make simulate SEED={seed} MACHINES={machines} USERS={users}"
        seed += 1


def test_a_seed_replays_exactly() -> None:
    """Here and in another process: whoever is told a seed sees the same."""
    command = [sys.executable, "-m", "tests.simulation", "--seed", "7", "--trace"]
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    other = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    trace = run_seed(7, trace=True).trace
    assert trace == run_seed(7, trace=True).trace
    assert other.stdout.splitlines()[:-1] == trace


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bug_is_found(name: str) -> None:
    first = json.loads(FOUND_BY.read_text()).get(name, 1)
    seeds = (first, *range(1, SEEDS_TO_FIND + 1))
    assert any(run_seed(seed, PLANTED[name]).problems for seed in seeds)


def test_a_failure_shrinks_to_what_it_needs() -> None:
    plant = PLANTED["take a wake up for an entry"]
    report = run_seed(1, plant)
    small = shrink(report, plant)
    assert small.report.problems and (small.users, small.steps) == (1, ())
    assert "SEED=1 " in small.command(2) and "USERS=1 STEPS=none" in small.command(2)
    lease = PLANTED["enter tools without asking for the lease"]
    seed = json.loads(FOUND_BY.read_text())["enter tools without asking for the lease"]
    report = run_seed(seed, lease)
    assert 0 < len(shrink(report, lease).steps) < report.steps, "it takes harm, not all of it"
