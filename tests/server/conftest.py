"""A running server in memory for each test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from tests.server.kit import Site
from tests.server.kit import site as running_site


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def site(anyio_backend: str) -> AsyncGenerator[Site]:
    """A server with the usual limits."""
    async with running_site() as site:
        yield site
