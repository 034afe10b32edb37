"""uvicorn's WebSocket protocol, with an answer for handshakes that it cannot read."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets import websockets_sansio_impl
from websockets import http11

MAX_LINE_BYTES = 32 * 1024
"""A header's line: more than the longest token that is taken, like that of HTTP requests."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"Connection: close\r\nContent-Length: 0\r\n\r\n"
)


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
