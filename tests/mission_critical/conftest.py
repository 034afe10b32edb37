"""Every test of a module shares one server, unless it wants one that it may kill."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.mission_critical.kit import Server
from tests.mission_critical.places import PLACES, Place


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    """Flags of the module's server; a module overrides this."""
    return ()


@pytest.fixture(scope="module", params=PLACES)
def technology(request: pytest.FixtureRequest) -> str:
    """The store's."""
    return request.param


@pytest.fixture
def place(technology: str, tmp_path: Path) -> Iterator[Place]:
    """Where the store of one test lives."""
    with closing(PLACES[technology](tmp_path)) as place:
        yield place


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, flags: tuple[str, ...], technology: str
) -> Iterator[Server]:
    """A server for all tests of a module.

    At the end its store must be without a breach, and its diagnostics without an error.
    """
    directory = tmp_path_factory.mktemp("shared")
    server = Server(directory, *flags, place=PLACES[technology](directory))
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
        server.place.close()


@pytest.fixture
def mortal(tmp_path: Path, flags: tuple[str, ...], place: Place) -> Iterator[Server]:
    """A server of one test, that may be killed and started again on the same store and port."""
    server = Server(tmp_path, *flags, place=place)
    server.start()
    try:
        yield server
        if server.running:
            server.stop()
        server.check()
    finally:
        server.kill()
