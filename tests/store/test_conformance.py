"""Every clause of the interface, on every store."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.databases import versions
from tests.store.clauses import CHECKS
from tests.store.sites import KilledSqliteSite, MemorySite, PostgresSite, SqliteSite

pytestmark = pytest.mark.anyio

SITES: dict[str, Any] = {
    "memory": lambda _: MemorySite(),
    "sqlite": SqliteSite,
    "sqlite-killed": KilledSqliteSite,
    **{f"postgres{version}": partial(PostgresSite, version) for version in versions()},
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("store", SITES)
async def test_clause(check: str, store: str, tmp_path: Path) -> None:
    site = SITES[store](tmp_path)
    try:
        await CHECKS[check](site)
    finally:
        await site.close()
