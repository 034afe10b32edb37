"""Who asks: tokens by a secret or by JWKS, or the application's own way.

Every refusal of a token is the same to the one who sent it, so that nothing can be learned by
trying. Verifying is local; the keys of an issuer come from `server.keys`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import jwt
import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from goldenpath.errors import ConfigError, RefusedError
from goldenpath.model.ids import UserId
from goldenpath.server.keys import ALGORITHMS, Fetch, KeySet

PROTOCOL = "goldenpath.v1"
_TOKEN_PROTOCOL = "goldenpath.token."  # noqa: S105
_MAX_TOKEN = 16 * 1024
_MAX_USER = 256
_BROKEN = (
    jwt.PyJWTError,
    ValueError,  # UnicodeError is one
    TypeError,
    KeyError,
    OverflowError,  # `exp` beyond every number
    RecursionError,  # nested brackets instead of a header
)
"""What a token of anybody's making can lead to."""


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
            return _principal(claims)
        except _BROKEN:
            raise unauthenticated() from None

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


def _principal(claims: dict[str, Any]) -> Principal:
    """Who the claims name; `exp` is there and was checked."""
    expires = float(claims["exp"])
    if not math.isfinite(expires):
        raise ValueError("exp is no moment")
    roles: Any = claims.get("roles", ())
    named: list[Any] = list(roles) if isinstance(roles, list) else []  # pyright: ignore[reportUnknownArgumentType]
    return Principal(
        user_id(claims["sub"]), expires, frozenset(r for r in named if isinstance(r, str))
    )


def user_id(subject: Any) -> UserId:
    """Check who an issuer or an application names. Raises ValueError."""
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_USER or "\x00" in subject:
        raise ValueError("a user has 1 to 256 characters")
    subject.encode()  # not every string of JSON is Unicode
    return UserId(subject)


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
        fetch: Fetch | None = None,
    ) -> None:
        super().__init__(issuer, audience)
        self._keys = KeySet(url, fetch)

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise unauthenticated()
        key = await self._keys.find(header.get("kid"))
        # The key says which algorithm it is for, never the token alone.
        if key is None or key.algorithm_name != algorithm:
            raise unauthenticated()
        return self._decode(token, key.key, [algorithm])


class ApplicationUsers:
    """The application's own sessions: `authenticate(request)` gives a user, or None for nobody."""

    def __init__(self, authenticate: Callable[[Request], Awaitable[UserId | str | None]]) -> None:
        self._authenticate = authenticate

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        scope = dict(connection.scope)
        if scope["type"] == "websocket":
            scope["type"] = "http"
            scope.setdefault("method", "GET")
        try:
            return Principal(user_id(await self._authenticate(Request(scope))))
        except HTTPException as error:  # how such applications say no
            if error.status_code == 403:
                raise RefusedError("forbidden", "You may not use this.") from None
            if error.status_code == 401:
                raise unauthenticated() from None
            raise
        except ValueError:
            raise unauthenticated() from None

    async def renew(self, token: str) -> Principal:
        raise unauthenticated()


def origin_allowed(connection: HTTPConnection, allow_origins: tuple[str, ...]) -> bool:
    """True for no origin (not a browser), our own, and those that are allowed."""
    origin = connection.headers.get("origin")
    if origin is None or origin in allow_origins or "*" in allow_origins:
        return True
    _, _, host = origin.partition("://")
    return bool(host) and host == connection.headers.get("host")
