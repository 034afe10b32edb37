"""The watchdog's own tests block the loop on purpose."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster


@pytest.fixture(autouse=True)
def _may_block(blocking_calls_raise: BlockBuster) -> Iterator[None]:
    """The detector's frame would be the one that the watchdog names."""
    blocking_calls_raise.deactivate()
    yield
    blocking_calls_raise.activate()
