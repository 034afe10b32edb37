"""A store that fails on purpose fails as a real one does, and the same way for the same seed."""

from __future__ import annotations

from random import Random

import pytest

from goldenpath.errors import StoreUnavailableError
from goldenpath.model.events import ThreadCreated
from goldenpath.model.ids import CommandId, UserId
from goldenpath.testing.faulty_store import FaultyStore
from goldenpath.testing.memory_store import MemoryStore
from tests.store.sqlite.logs import Log, question

pytestmark = pytest.mark.anyio

ANN = UserId("ann")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Naps:
    """What was slept, in seconds, without sleeping."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)


def faulty(seed: int, rate: float = 0.5, naps: Naps | None = None) -> FaultyStore:
    return FaultyStore(MemoryStore(), Random(seed), sleep=naps or Naps(), rate=rate)


async def submissions(store: FaultyStore, count: int = 200) -> tuple[set[str], set[str], set[str]]:
    """Commands that were answered; that failed; that are in the store."""
    answered, failed = set[str](), set[str]()
    for number in range(count):
        command = CommandId(f"c{number}")
        try:
            await store.submit(ANN, command, question("q"), 0)
            answered.add(command)
        except StoreUnavailableError:
            failed.add(command)
    return answered, failed, {c.command_id for c in await store.inner.pending(ANN)}


async def test_a_failed_write_took_effect_or_not_and_an_answered_one_did() -> None:
    answered, failed, kept = await submissions(faulty(1))
    assert answered <= kept
    assert failed & kept and failed - kept


async def test_a_seed_repeats_its_faults_and_its_delays() -> None:
    naps = [Naps(), Naps(), Naps()]
    first, again, other = [
        await submissions(faulty(seed, naps=n)) for seed, n in zip((1, 1, 2), naps, strict=True)
    ]
    assert first == again and naps[0].seconds == naps[1].seconds
    assert first != other and naps[0].seconds != naps[2].seconds
    assert all(0 <= seconds <= 0.02 for seconds in naps[0].seconds)


async def test_without_faults_it_is_the_store() -> None:
    store = faulty(1, rate=0.0)
    answered, failed, kept = await submissions(store)
    assert len(answered) == 200 and not failed and kept == answered
    assert store.status().writable and store.stats is store.inner.stats


async def test_a_read_that_failed_may_be_repeated() -> None:
    store = faulty(3)
    await (await Log.begin(store.inner, ANN)).new_thread()
    failures = 0
    for _ in range(100):
        try:
            assert (await store.head(ANN)).cursor == 1
        except StoreUnavailableError:
            failures += 1
    assert 20 < failures < 80


async def test_the_same_append_is_tried_until_it_is_answered_and_applied_once() -> None:
    store = faulty(4)
    log = await Log.begin(store.inner, ANN)
    for number in range(1, 50):
        append = log.make([ThreadCreated(title="t")], thread=f"t{number}")
        while True:
            try:
                await store.append(append)
                break
            except StoreUnavailableError:
                continue
        log.head += 1
        assert (await store.inner.head(ANN)).cursor == number
