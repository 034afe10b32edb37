"""What the processes of `python -m tests.simulation` do."""

from __future__ import annotations

import logging

from tests.simulation.planted import PLANTED
from tests.simulation.world import Report, run_seed

Chunk = tuple[int, int, int, int]
"""First seed, the one after the last, machines, users."""


def run_chunk(chunk: Chunk) -> list[Report]:
    """Simulate some seeds."""
    logging.disable()
    first, end, machines, users = chunk
    return [run_seed(seed, machines=machines, users=users) for seed in range(first, end)]


def seeds_to_find(asked: tuple[str, int]) -> int | None:
    """The first seed, up to a number, that finds a planted bug."""
    logging.disable()
    name, most = asked
    plant = PLANTED[name]
    return next((seed for seed in range(1, most + 1) if run_seed(seed, plant).problems), None)
