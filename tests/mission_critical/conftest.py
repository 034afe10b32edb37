"""Every test of a module shares one server, unless it wants one that it may kill."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mission_critical.kit import Server


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    """Flags of the module's server; a module overrides this."""
    return ()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, flags: tuple[str, ...]) -> Iterator[Server]:
    """A server for all tests of a module.

    At the end its store must be without a breach, and its diagnostics without an error.
    """
    server = Server(tmp_path_factory.mktemp("shared"), *flags)
    server.start()
    try:
        yield server
        server.stop()
        server.check()
        errors = [line for line in server.logged() if line.get("level") in (None, "error")]
        # uvicorn's word for a client's bad frame.
        assert [e for e in errors if not e["message"].startswith("Invalid UTF-8")] == []
    finally:
        server.kill()


@pytest.fixture
def mortal(tmp_path: Path, flags: tuple[str, ...]) -> Iterator[Server]:
    """A server of one test, that may be killed and started again on the same store and port."""
    server = Server(tmp_path, *flags)
    server.start()
    try:
        yield server
        if server.running:
            server.stop()
        server.check()
    finally:
        server.kill()
