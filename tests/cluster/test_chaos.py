"""A short form of `make chaos`, with a fresh seed that is printed."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from tests.cluster.chaos import Chaos
from tests.databases import versions

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]
_SECONDS = 30
_VERSION = versions()[0]


async def test_random_faults_lose_repeat_and_mix_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 31)
    print(f"make chaos SEED={seed}")
    chaos = await asyncio.to_thread(Chaos, tmp_path, _VERSION, seed, 6)
    try:
        outcome = await chaos.run(_SECONDS)
    finally:
        await asyncio.to_thread(chaos.close)
    print(outcome)
    assert outcome.runs >= 6 and sum(outcome.faults.values()) >= 3
