"""Serves an application: two ports, signals, and a shutdown that loses nothing.

At the first SIGTERM or SIGINT: no new commands, runs may end within `drain`, readers get their
goodbye, the store is closed. At the second the process exits at once; what was accepted is durable
anyway.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from starlette.types import ASGIApp

from goldenpath.compose.app import App
from goldenpath.compose.handshake import HttpProtocol, WebSocketProtocol, allow_long_tokens
from goldenpath.compose.ops import ops_app
from goldenpath.compose.tuning import give_memory_back, tuned_interpreter
from goldenpath.config import Settings
from goldenpath.config.settings import split_address
from goldenpath.errors import ConfigError

logger = logging.getLogger("goldenpath")

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_GOODBYE_SECONDS = 5
"""How long connections may take to close after their goodbye."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process has one owner of signals, here."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def bind(host: str, port: int, setting: str) -> socket.socket:
    """Listen on an address. Raises `ConfigError` naming the setting when it cannot."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"{setting}: {host}:{port} cannot be used ({error.strerror or error}); stop what uses "
            f"it or choose another with --{setting}"
        ) from None
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """The address of a listening socket, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def serve(
    app: App,
    settings: Settings,
    *,
    ops: bool = True,
    ready: Callable[[str], Awaitable[bool]] | None = None,
) -> None:
    """Serve until a signal. `ready(url)` is called once clients can connect; False ends it all."""
    with _listeners(settings, ops) as (listener, ops_listener), tuned_interpreter():
        async with _stopping() as stopping, app.running(settings) as assembly:
            servers = [http_server(app.asgi(), settings)]
            sockets = [listener]
            if ops_listener is not None:
                servers.append(http_server(ops_app(assembly), settings))
                sockets.append(ops_listener)
            tasks = [
                asyncio.create_task(server.serve(sockets=[one]), name="goldenpath-http")
                for server, one in zip(servers, sockets, strict=True)
            ]
            trimming = asyncio.create_task(give_memory_back(), name="goldenpath-memory")
            try:
                logger.info(
                    "serving",
                    extra={
                        "url": url_of(listener),
                        "ops_url": None if ops_listener is None else url_of(ops_listener),
                        "store": settings.store,
                        "agents": ", ".join(agent.name for agent in app.agents),
                    },
                )
                if ready is None or await ready(url_of(listener)):
                    await _until(stopping, assembly.host.asked_to_leave, tasks)
                logger.info("draining", extra={"seconds": settings.drain})
                await assembly.finish(settings.drain)
            finally:
                trimming.cancel()
                for server in servers:
                    server.should_exit = True
                await asyncio.wait([trimming, *tasks])
            logger.info("stopped")


async def serve_to_the_end(app: App, settings: Settings) -> None:
    """`serve`, in a process that has nothing else to do: ends it if user code would keep it alive.

    A body that does not stop when cancelled would hold up the end of the event loop for ever. All
    that counts is durable by now, and the store is closed.
    """
    await serve(app, settings)
    this = asyncio.current_task()
    left = {task for task in asyncio.all_tasks() if task is not this}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=settings.limits.cancel_seconds)
    if left:
        logger.warning("leaving bodies behind that do not stop", extra={"bodies": len(left)})
        logging.shutdown()
        os._exit(0)


async def _until(
    stopping: asyncio.Event, asked_to_leave: asyncio.Event, tasks: list[asyncio.Task[None]]
) -> None:
    """Wait for a signal, for an operator's word, or for a server that ends by itself."""
    asked = [asyncio.create_task(event.wait()) for event in (stopping, asked_to_leave)]
    try:
        await asyncio.wait([*asked, *tasks], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in asked:
            task.cancel()


def http_server(asgi: ASGIApp, settings: Settings) -> uvicorn.Server:
    """The server of an ASGI application, for sockets that are bound already; sets no signals."""
    allow_long_tokens()
    return _Server(
        uvicorn.Config(
            asgi,
            loop="asyncio",
            http=HttpProtocol,
            ws=WebSocketProtocol,
            ws_max_size=settings.limits.frame_bytes,
            ws_per_message_deflate=False,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=_GOODBYE_SECONDS,
        )
    )


@contextmanager
def _listeners(
    settings: Settings, ops: bool
) -> Generator[tuple[socket.socket, socket.socket | None]]:
    listener = bind(settings.host, settings.port, "port")
    with listener:
        if not ops:
            yield listener, None
            return
        with bind(*split_address(settings.ops_bind), "ops-bind") as ops_listener:
            yield listener, ops_listener


@asynccontextmanager
async def _stopping() -> AsyncGenerator[asyncio.Event]:
    """An event that the first signal sets; the second ends the process."""
    stopping = asyncio.Event()

    def on_signal(number: int) -> None:
        if stopping.is_set():
            logger.warning("a second signal: exiting at once")
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stopping
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
