"""What holds for every test: asyncio alone, and no call of the package blocks an event loop."""

from __future__ import annotations

from collections.abc import Iterator

import blockbuster.blockbuster as detector
import pytest
from blockbuster import BlockBuster, BlockingError, blockbuster_ctx

import goldenpath
from goldenpath.testing import ports

MAY_BLOCK = [
    # Before a server serves, and in commands that do one thing, nobody else waits for the loop.
    ("goldenpath/compose/app.py", {"_serve"}),
    ("goldenpath/compose/stores.py", {"store_path", "require_file"}),
    ("goldenpath/config/load.py", {"load_settings"}),
    ("goldenpath/demo/page/__init__.py", {"page_routes"}),
    ("goldenpath/server/app.py", {"software_version"}),
    ("goldenpath/store/sqlite/store.py", {"open_store"}),
    # A driver that looks for certificates and passwords in the home directory, once a connection.
    ("asyncpg/connect_utils.py", {"_parse_connect_dsn_and_args"}),
    # Copies are made, and schemas migrated, by commands; a process that serves only reads numbers.
    ("goldenpath/store/postgres/schema.py", {"migrations"}),
    ("goldenpath/store/image.py", {"write_image", "read_image"}),
    # What a test does to a database server of its own.
    ("goldenpath/testing/postgres.py", {"run", "pids", "start", "stop", "kill"}),
    ("goldenpath/testing/relay.py", {"_do", "close"}),
    # The standard library's handlers write where they are called.
    ("logging/__init__.py", {"emit"}),
]
"""File and functions below which a call may block; each is a decision, so the list is short."""


class Blocked(BlockingError):
    """Is remembered too: the boundary of a task would turn it into a mere log record."""

    seen: list[str] = []

    def __init__(self, func: str) -> None:
        super().__init__(func)
        self.seen.append(func)


@pytest.fixture
def anyio_backend() -> str:
    """What `pytest.mark.anyio` runs on; a folder of tests may give it a wider scope."""
    return "asyncio"


@pytest.fixture
def free_port() -> int:
    """A port of loopback where nothing listened a moment ago."""
    return ports.free_port()


@pytest.fixture(scope="session")
def blocking_calls_raise() -> Iterator[BlockBuster]:
    """Active for the whole session; a test that blocks on purpose deactivates it for itself."""
    with pytest.MonkeyPatch.context() as patch, blockbuster_ctx(goldenpath) as blockbuster:
        patch.setattr(detector, "BlockingError", Blocked)
        for function in blockbuster.functions.values():
            for file, names in MAY_BLOCK:
                function.can_block_in(file, names)
        yield blockbuster


@pytest.fixture(autouse=True)
def _no_blocking_calls(blocking_calls_raise: BlockBuster) -> Iterator[None]:
    """Fails a test in which the package blocked an event loop, even if something caught that."""
    Blocked.seen.clear()
    yield
    assert not Blocked.seen, f"the package blocked the event loop: {Blocked.seen}"
