"""A short form of `make chaos`, with a fresh seed that is printed."""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path

import pytest

from tests.cluster.chaos import Chaos
from tests.databases import versions

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
_SECONDS = 30


async def test_random_faults_lose_repeat_and_mix_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"make chaos SEED={seed}")
    with closing(Chaos(tmp_path, versions()[0], seed, users=6)) as chaos:
        outcome = await chaos.run(_SECONDS)
    print(outcome)
    assert outcome.runs >= 6 and sum(outcome.faults.values()) >= 3
