"""What is simulated in processes beside each other."""

from __future__ import annotations

import gc
import logging
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.planted import PLANTED
from tests.simulation.world import Report, run_seed

Chunk = tuple[int, int, int, int]
"""First seed, the one after the last, machines, users."""


def settle() -> None:
    """Begin the work of a process: it collects garbage between seeds, and nothing that is old."""
    logging.disable()
    gc.collect()
    gc.freeze()
    gc.disable()


def run_chunk(chunk: Chunk) -> list[Report]:
    """Simulate some seeds."""
    first, end, machines, users = chunk
    return [run_seed(seed, machines=machines, users=users) for seed in range(first, end)]


def seeds_to_find(asked: tuple[str, int]) -> int | None:
    """The first seed, up to a number, that finds a planted bug."""
    name, most = asked
    plant = PLANTED[name]
    return next((seed for seed in range(1, most + 1) if run_seed(seed, plant).problems), None)


def processes(workers: int) -> ProcessPoolExecutor:
    """So many processes that simulate."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, context, initializer=settle)


def find_planted(most: int, workers: int) -> Iterator[tuple[str, int | None]]:
    """Each planted bug with the seeds that it takes to find it; None if so many are not enough."""
    with processes(workers) as pool:
        found = pool.map(seeds_to_find, [(name, most) for name in PLANTED])
        yield from zip(PLANTED, found, strict=True)
