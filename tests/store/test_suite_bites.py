"""The suite finds each store that is broken on purpose, by the clause that it does not keep."""

from __future__ import annotations

import asyncio

import pytest

from goldenpath.testing.memory_store import MemoryStore
from tests.store.broken import BROKEN
from tests.store.clauses import CHECKS
from tests.store.sites import MemorySite

pytestmark = pytest.mark.anyio

HANGS_S = 0.5
"""After this long a check waits for what will not come; on a sound store it takes milliseconds."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("store", BROKEN, ids=lambda store: store.__name__)
async def test_a_broken_store_is_found(store: type[MemoryStore]) -> None:
    for name, check in CHECKS.items():
        if name.startswith(f"{BROKEN[store].lower()}_"):
            try:
                async with asyncio.timeout(HANGS_S):
                    await check(MemorySite(store))
            except (Exception, BaseExceptionGroup):
                return
    pytest.fail(f"no check of {BROKEN[store]} finds it")


def test_each_clause_has_a_store_that_breaks_it() -> None:
    assert set(BROKEN.values()) == {name.split("_")[0].upper() for name in CHECKS}
