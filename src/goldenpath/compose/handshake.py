"""uvicorn's protocols, with bounds for headers: their size, and how long they take to come."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets import websockets_sansio_impl
from websockets import http11

MAX_LINE_BYTES = 32 * 1024
"""A header's line: more than the longest token that is taken, like that of HTTP requests."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


_LATE = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

HEADER_SECONDS = 10.0
"""From the opening of a connection, or a request's first byte, to the end of its headers."""
MAX_HEADER_BYTES = 64 * 1024
"""All headers of a request; uvicorn itself takes any number."""


class HttpProtocol(HttpToolsProtocol):
    """One connection. Whoever sends no headers, or never ends them, holds it for a while only."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a request."""
        super().connection_made(transport)
        self._header_bytes = 0
        self._late: asyncio.TimerHandle | None = None
        self._expect_headers()

    def on_message_begin(self) -> None:
        """Begin a request: on a connection that is kept alive, this may be a later one."""
        super().on_message_begin()
        self._header_bytes = 0
        if self._late is None:
            self._expect_headers()

    def on_headers_complete(self) -> None:
        """All headers are there."""
        self._expect_nothing()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take bytes; end a connection whose headers are too large."""
        super().data_received(data)
        if self._late is not None:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._refuse(_TOO_LARGE)

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing more."""
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_headers(self) -> None:
        self._late = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._give_up)

    def _expect_nothing(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._late = None
        # A browser opens connections that it may not need: they end without a word.
        self._refuse(_LATE if self._header_bytes else b"")

    def _refuse(self, answer: bytes) -> None:
        self._expect_nothing()
        if not self.transport.is_closing():
            self.transport.write(answer)
            self.transport.close()


class WebSocketProtocol(websockets_sansio_impl.WebSocketsSansIOProtocol):
    """One connection that asked for an upgrade.

    websockets reads lines of at most 8 KiB, less than a token may have, and uvicorn leaves what
    then cannot be read open for ever, without an answer.
    """

    def data_received(self, data: bytes) -> None:
        """Take bytes; end a connection whose handshake has failed."""
        super().data_received(data)
        connection: Any = self.conn
        if not self.handshake_initiated and connection.handshake_exc is not None:
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    async def send(self, message: Any) -> None:
        """Take what the application sends.

        uvicorn reports each refusal of an upgrade as an error of the application, so that anyone
        could fill the diagnostics.
        """
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True


def allow_long_tokens() -> None:
    """Let handshakes have lines of `MAX_LINE_BYTES`."""
    http11.MAX_LINE_LENGTH = max(http11.MAX_LINE_LENGTH, MAX_LINE_BYTES)
