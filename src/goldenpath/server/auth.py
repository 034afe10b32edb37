"""Who asks: tokens by a secret or by JWKS, or the application's own way.

Every refusal of a token is the same to the one who sent it. Verifying is local; the only network
access is the key set's address, fetched by one request at a time and not more often than every
`_REFETCH_SECONDS`, so that unknown keys in bad tokens cost nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import httpx
import jwt
import msgspec
from starlette.requests import HTTPConnection, Request

from goldenpath.errors import ConfigError, RefusedError
from goldenpath.model.ids import UserId

logger = logging.getLogger(__name__)

PROTOCOL = "goldenpath.v1"
_TOKEN_PROTOCOL = "goldenpath.token."
_ASYMMETRIC = ("RS256", "ES256", "EdDSA")
_REFETCH_SECONDS = 10.0
_MAX_TOKEN = 16 * 1024


class Principal(msgspec.Struct, frozen=True):
    """Who asks. `expires` is Unix seconds; None never."""

    user: UserId
    expires: float | None = None
    roles: frozenset[str] = frozenset()


class Authenticator(Protocol):
    """Tells who sent a request. Raises RefusedError("unauthenticated")."""

    async def authenticate(self, connection: HTTPConnection) -> Principal: ...
    async def renew(self, token: str) -> Principal:
        """Check a token that came in band."""
        ...


def unauthenticated() -> RefusedError:
    return RefusedError("unauthenticated", "A valid token is needed.")


def token_of(connection: HTTPConnection) -> str:
    """The bearer token of a request, or of a socket's subprotocols. Raises RefusedError."""
    header = connection.headers.get("authorization", "")
    scheme, _, token = header.partition(" ")
    if scheme.lower() == "bearer" and token:
        return token.strip()
    if connection.scope["type"] == "websocket":
        for protocol in connection.scope.get("subprotocols", ()):
            if protocol.startswith(_TOKEN_PROTOCOL):
                return protocol[len(_TOKEN_PROTOCOL) :]
    raise unauthenticated()


class _Tokens:
    """What both kinds of tokens share: which claims must hold."""

    def __init__(self, issuer: str | None, audience: str | None) -> None:
        self._issuer = issuer
        self._audience = audience

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        return await self.renew(token_of(connection))

    async def renew(self, token: str) -> Principal:
        if len(token) > _MAX_TOKEN:
            raise unauthenticated()
        try:
            claims = await self._claims(token)
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, UnicodeError):
            raise unauthenticated() from None
        return self._principal(claims)

    async def _claims(self, token: str) -> dict[str, Any]:
        raise NotImplementedError

    def _decode(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any]:
        return jwt.decode(
            token,
            key,
            algorithms=algorithms,
            issuer=self._issuer,
            audience=self._audience,
            options={
                "require": ["exp", "sub"],
                "verify_aud": self._audience is not None,
                "verify_iss": self._issuer is not None,
            },
        )

    @staticmethod
    def _principal(claims: dict[str, Any]) -> Principal:
        subject: Any = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 256 or "\x00" in subject:
            raise unauthenticated()
        roles: Any = claims.get("roles", ())
        named = roles if isinstance(roles, list) else []  # pyright: ignore[reportUnknownVariableType]
        return Principal(
            UserId(subject),
            float(claims["exp"]),
            frozenset(str(role) for role in named),  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        )


class SecretTokens(_Tokens):
    """HS256 by a secret of at least 32 bytes."""

    def __init__(
        self, secret: str, *, issuer: str | None = None, audience: str | None = None
    ) -> None:
        super().__init__(issuer, audience)
        if len(secret.encode()) < 32:
            raise ConfigError(
                "auth-secret: has less than 32 bytes; set GOLDENPATH_AUTH_SECRET to a long one, "
                "for example from `openssl rand -hex 32`"
            )
        self._secret = secret

    async def _claims(self, token: str) -> dict[str, Any]:
        return self._decode(token, self._secret, ["HS256"])


class KeySetTokens(_Tokens):
    """RS256, ES256, EdDSA by the keys at a JWKS address."""

    def __init__(
        self,
        url: str,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        fetch: Callable[[str], Awaitable[Any]] | None = None,
    ) -> None:
        super().__init__(issuer, audience)
        self._url = url
        self._fetch = fetch or _fetch_json
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._fetched = float("-inf")
        self._lock = asyncio.Lock()

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in _ASYMMETRIC:
            raise unauthenticated()
        key = await self._key(header.get("kid"))
        if key is None or key.algorithm_name != algorithm:
            raise unauthenticated()
        return self._decode(token, key.key, [algorithm])

    async def _key(self, kid: str | None) -> jwt.PyJWK | None:
        found = self._find(kid)
        if found is None and time.monotonic() - self._fetched > _REFETCH_SECONDS:
            async with self._lock:
                if time.monotonic() - self._fetched > _REFETCH_SECONDS:
                    await self._refresh()
            found = self._find(kid)
        return found

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid)

    async def _refresh(self) -> None:
        self._fetched = time.monotonic()
        try:
            document = await self._fetch(self._url)
            keys: dict[str | None, jwt.PyJWK] = {}
            for item in document["keys"]:
                try:
                    key = jwt.PyJWK(item)
                except (jwt.PyJWTError, ValueError, TypeError, KeyError):
                    continue  # a key of a kind that we do not take
                if key.algorithm_name in _ASYMMETRIC and item.get("use", "sig") == "sig":
                    keys[item.get("kid")] = key
            self._keys = keys
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            # The keys that we have stay: a short outage of the issuer hurts nobody.
            logger.warning("the key set at %s cannot be read: %s", self._url, error)


async def _fetch_json(url: str) -> Any:
    async with httpx.AsyncClient(timeout=5.0, follow_redirects=False) as client:
        answer = await client.get(url)
        answer.raise_for_status()
        if len(answer.content) > 1 << 20:
            raise ValueError("more than 1 MiB")
        return answer.json()


class ApplicationUsers:
    """The application's own sessions: `authenticate(request)` gives a user, or None for nobody."""

    def __init__(self, authenticate: Callable[[Request], Awaitable[UserId | str | None]]) -> None:
        self._authenticate = authenticate

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        scope = dict(connection.scope)
        if scope["type"] == "websocket":
            scope["type"] = "http"
            scope.setdefault("method", "GET")
        user = await self._authenticate(Request(scope))
        if not user or len(user) > 256:
            raise unauthenticated()
        return Principal(UserId(user))

    async def renew(self, token: str) -> Principal:
        raise unauthenticated()


def origin_allowed(connection: HTTPConnection, allow_origins: tuple[str, ...]) -> bool:
    """True for no origin (not a browser), our own, and those that are allowed."""
    origin = connection.headers.get("origin")
    if origin is None or origin in allow_origins or "*" in allow_origins:
        return True
    _, _, host = origin.partition("://")
    return bool(host) and host == connection.headers.get("host")
