"""Every mutant applies, and a sample of them is noticed (`make mutants` tries all)."""

import os
import random

import pytest

from tests.mutants.mutation import attempt, load

SAMPLE = 5


def test_each_mutant_applies_to_the_sources_as_they_are() -> None:
    mutants = load()
    assert {m.name: problem for m in mutants if (problem := m.problem()) is not None} == {}
    assert len({m.name for m in mutants}) == len(mutants) > 50


@pytest.mark.timeout(900)
def test_a_sample_of_them_turns_a_test_red() -> None:
    seed = int(os.environ.get("MUTANTS_SEED", random.randrange(1 << 30)))
    print(f"MUTANTS_SEED={seed}")
    verdicts = [attempt(mutant) for mutant in random.Random(seed).sample(load(), SAMPLE)]
    lived = {v.mutant.name: v.reason for v in verdicts if not v.killed}
    assert lived == {}, f"MUTANTS_SEED={seed}"
