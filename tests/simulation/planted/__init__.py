"""Bugs planted on purpose: a simulator that does not find them proves nothing.

Each is a context in which one thing is done wrong, as somebody could do it by mistake.
"""

from pathlib import Path

from tests.simulation.planted import engines, servers, stores
from tests.simulation.planted.planting import PLANTED

FOUND_BY = Path(__file__).with_name("found_by.json")
"""The seed that found each bug the last time: where a test looks first."""

__all__ = ["FOUND_BY", "PLANTED", "engines", "servers", "stores"]
