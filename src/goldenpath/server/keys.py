"""An issuer's public keys (JWKS): fetched when they are needed, kept while it does not answer.

Only the address is ever asked, by one request at a time, and not more often than every
`_AGAIN_SECONDS`: unknown keys in bad tokens cost no more than that, and whoever has a key that is
known waits for nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import jwt

from goldenpath.errors import RefusedError

logger = logging.getLogger(__name__)

ALGORITHMS = ("RS256", "ES256", "EdDSA")
_AGAIN_SECONDS = 10.0
_FAILED_SECONDS = 1.0
"""How soon a fetch that failed may be tried again."""
_OLD_SECONDS = 3600.0
"""A key that the issuer withdrew is believed no longer than this."""
_FETCH_SECONDS = 5.0
_MOST_BYTES = 1 << 20

Fetch = Callable[[str], Awaitable[Any]]
"""Gets the JSON document at an address."""


class KeySet:
    """The keys of one issuer."""

    def __init__(self, url: str, fetch: Fetch | None = None) -> None:
        self._url = url
        self._fetch = fetch or _fetch_json
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read_at = float("-inf")
        self._current = False
        """True if the last fetch succeeded: then a key that is not here does not exist."""
        self._next_at = float("-inf")
        """Before this no fetch begins."""
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of that id; None if the issuer has none of it.

        Raises RefusedError("unavailable") where that cannot be told, since the issuer is away.
        """
        now = asyncio.get_running_loop().time()
        found = self._find(kid)
        if found is not None:
            if now - self._read_at > _OLD_SECONDS and now >= self._next_at:
                self._begin()  # who has a known key does not wait
            return found
        if self._fetching is not None or now >= self._next_at:
            await asyncio.shield(self._fetching or self._begin())
            found = self._find(kid)
        if found is None and not self._current:
            raise RefusedError("unavailable", "Tokens cannot be checked now.", retryable=True)
        return found

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    def _begin(self) -> asyncio.Task[None]:
        self._next_at = asyncio.get_running_loop().time() + _AGAIN_SECONDS
        self._fetching = asyncio.create_task(self._refresh(), name="goldenpath-keys")
        return self._fetching

    async def _refresh(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                self._keys = _usable(await self._fetch(self._url))
        except (httpx.HTTPError, OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            # The keys that we have stay: a short outage of the issuer hurts nobody.
            logger.warning("the key set at %s cannot be read: %r", self._url, error)
            self._current = False
            self._next_at = loop.time() + _FAILED_SECONDS
        else:
            self._current = True
            self._read_at = loop.time()
        finally:
            self._fetching = None


def _usable(document: Any) -> dict[str | None, jwt.PyJWK]:
    keys: dict[str | None, jwt.PyJWK] = {}
    for item in document["keys"]:
        try:
            key = jwt.PyJWK(item)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue  # a key of a kind that we do not take
        if key.algorithm_name in ALGORITHMS and item.get("use", "sig") == "sig":
            keys[item.get("kid")] = key
    return keys


async def _fetch_json(url: str) -> Any:
    async with (
        httpx.AsyncClient(timeout=_FETCH_SECONDS, follow_redirects=False) as client,
        client.stream("GET", url) as answer,
    ):
        answer.raise_for_status()
        document = bytearray()
        async for piece in answer.aiter_bytes():
            document += piece
            if len(document) > _MOST_BYTES:
                raise ValueError(f"more than {_MOST_BYTES} bytes")
        return json.loads(document)
