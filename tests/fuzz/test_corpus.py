"""Whatever fuzzing found is thrown again: each reader raises what it says, and nothing else."""

from __future__ import annotations

import importlib.util

import pytest

from tests.fuzz import corpus
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_kept_inputs_break_nothing(name: str) -> None:
    kept = [*seeds()[name], *corpus.load(name)]
    assert len(kept) >= 2
    for data in kept:
        TARGETS[name](data)


def test_the_fuzzer_is_there() -> None:
    """`make fuzz` would not run without it."""
    assert importlib.util.find_spec("atheris") is not None
