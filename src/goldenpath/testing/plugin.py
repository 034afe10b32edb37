"""The fixtures that pytest finds by itself once goldenpath is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from goldenpath.testing.server import AppServer


@pytest.fixture
def goldenpath_server() -> Iterator[Callable[..., AppServer]]:
    """Serve applications until the test ends: `server = goldenpath_server(app, clock=...)`."""
    from goldenpath.testing.server import AppServer

    with ExitStack() as stack:

        def serve(app: Any, **options: Any) -> AppServer:
            return stack.enter_context(AppServer(app, **options))

        yield serve
