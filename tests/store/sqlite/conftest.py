"""What the tests of the SQLite store share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The store is an asyncio one."""
    return "asyncio"
