"""Ports of loopback for servers of a test."""

from __future__ import annotations

import random
import socket

_FIRST, _LAST = 20_000, 32_000
"""Below the ports from which systems take those of outgoing connections: nobody gets one of these
by chance between the moment that it is found free and the moment that a server listens on it."""
_random = random.SystemRandom()


def free_port() -> int:
    """A port where nothing listened a moment ago."""
    while True:
        port = _random.randrange(_FIRST, _LAST)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
