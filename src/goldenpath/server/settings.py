"""What the server is told beside its host and its way to know users."""

from __future__ import annotations

import msgspec


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`allow_origins`: other sites whose pages may open sockets; its own is always allowed."""

    allow_origins: tuple[str, ...] = ()
    body_seconds: float = 10.0
    """What a client gets to send a request's body."""
    unavailable_seconds: float = 10.0
    """A socket is closed when the store does not answer for this long."""
    ack_seconds: float = 2.0
    """Receipts of delivery that are not for a terminal are written at most this often."""
    frames_per_minute: int = 6000
