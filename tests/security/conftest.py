"""One server on real sockets, with a store whose reads are counted."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest

from goldenpath import App, RunContext, ToolFailed, agent, tool
from goldenpath.testing import AppServer


@tool(secret={"pin"})
async def unlock(pin: str, fail: bool) -> dict[str, str]:
    """Has secrets in its arguments, its result and its failure."""
    if fail:
        raise ValueError(f"the pin {pin} is wrong")
    return {"pin": pin, "door": "open"}


@agent("keeper", tools=[unlock])
async def keeper(run: RunContext, message: str) -> str:
    """Opens a door with the message as its pin."""
    await run.call(unlock, pin=message, fail=False)
    try:
        await run.call(unlock, pin=message, fail=True)
    except ToolFailed:
        pass
    return "opened"


@pytest.fixture(scope="package")
def server() -> Iterator[AppServer]:
    with AppServer(App(agents=[keeper])) as running:
        yield running


@pytest.fixture
def connect(server: AppServer) -> Iterator[Callable[[], socket.socket]]:
    """Opens plain connections to the server."""
    opened: list[socket.socket] = []
    address = urlsplit(server.url)

    def connect() -> socket.socket:
        made = socket.create_connection((address.hostname, address.port), timeout=20)
        opened.append(made)
        return made

    yield connect
    for one in opened:
        one.close()
