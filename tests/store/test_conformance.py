"""Every clause of the interface, on every store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from goldenpath.store import interface
from tests.store.sites import KilledSqliteSite, MemorySite, SqliteSite
from tests.store.suite import CHECKS

pytestmark = pytest.mark.anyio

SITES: dict[str, Any] = {
    "memory": lambda _: MemorySite(),
    "sqlite": SqliteSite,
    "sqlite-killed": KilledSqliteSite,
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


def test_each_clause_has_a_check_and_each_check_a_clause() -> None:
    assert interface.__doc__ is not None
    written = set(re.findall(r"^ ([A-Z]\d+)  ", interface.__doc__, re.MULTILINE))
    checked = {name.split("_")[0].upper() for name in CHECKS}
    assert written == checked
