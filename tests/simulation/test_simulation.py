"""A short form of `make simulate`: fixed seeds are clean, fresh ones too, planted bugs are found."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator

import pytest

from tests.simulation.planted import PLANTED
from tests.simulation.world import run_seed

FIXED = range(1, 151)
SEEDS_TO_FIND = 150


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


def test_fresh_seeds_hold_every_invariant() -> None:
    start = random.SystemRandom().randrange(10**6, 10**9)
    print(f"seeds from {start}")
    failed = {s: r.problems for s in range(start, start + 50) if (r := run_seed(s)).problems}
    assert not failed


def test_a_seed_replays_exactly() -> None:
    assert run_seed(7, trace=True).trace == run_seed(7, trace=True).trace


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bug_is_found(name: str) -> None:
    seeds = range(1, SEEDS_TO_FIND + 1)
    assert any(run_seed(seed, PLANTED[name]).problems for seed in seeds)
