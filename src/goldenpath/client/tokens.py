"""The client's token: a fixed text, or a source of fresh ones that is asked before expiry."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable

import msgspec

from goldenpath.errors import UNREADABLE, StoppedError

TokenSource = Callable[[], Awaitable[str]]
"""Gives a token that is valid now. Asked again after an `OSError` or `httpx.TransportError`."""

_RENEW_AT = 0.8
"""Share of a token's remaining life after which it is renewed."""


class Tokens:
    """Holds the token in use and knows when to replace it."""

    def __init__(self, token: str | TokenSource) -> None:
        self._source = None if isinstance(token, str) else token
        self._token = token if isinstance(token, str) else None
        self._rejected = 0

    @property
    def renewable(self) -> bool:
        """True where a source can be asked for another token."""
        return self._source is not None

    async def current(self) -> str:
        """The token in use; the first one is asked for here."""
        if self._token is None:
            return await self.fresh()
        return self._token

    async def fresh(self) -> str:
        """Another token, where there is a source."""
        if self._source is not None:
            self._token = await self._source()
        assert self._token is not None
        return self._token

    def accepted(self) -> None:
        """The server took the token."""
        self._rejected = 0

    def rejected(self) -> None:
        """The server did not take it, or it ended. Raises `StoppedError` if none is better."""
        self._rejected += 1
        if self._source is None:
            raise StoppedError("unauthenticated", "the token is not valid, or not any more")
        if self._rejected > 2:
            raise StoppedError("unauthenticated", "the server refuses every token of the source")
        self._token = None

    def renew_in(self, now: float) -> float | None:
        """Seconds until the token should be renewed; None where that is unknown or impossible."""
        expiry = None if self._token is None or self._source is None else expires(self._token)
        if expiry is None or expiry <= now:
            return None
        return max(1.0, (expiry - now) * _RENEW_AT)


class _Claims(msgspec.Struct):
    exp: float | None = None


def expires(token: str) -> float | None:
    """Read `exp` (Unix seconds) of a JWT, unverified; None for what is no JWT or has none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        return msgspec.json.decode(payload, type=_Claims).exp
    except (ValueError, *UNREADABLE):  # of base64, too
        return None
