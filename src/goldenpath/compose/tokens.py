"""How users are known, as configured; and HS256 tokens for development and for the demo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import jwt

from goldenpath.config import Settings
from goldenpath.errors import ConfigError
from goldenpath.server.auth import Authenticator, KeySetTokens, SecretTokens

LEAST_SECRET_BYTES = 32
"""RFC 7518, 3.2: a key of HS256 is at least as long as its hash."""


def authenticator(settings: Settings) -> Authenticator:
    """Make what checks tokens. Raises `ConfigError`."""
    if settings.auth == "hs256":
        return SecretTokens(
            check_secret(settings.auth_secret),
            issuer=settings.auth_issuer,
            audience=settings.auth_audience,
        )
    url = settings.auth_jwks_url
    if url is None:
        raise ConfigError(
            "auth-jwks-url: not set; auth jwks needs the address of the issuer's keys, such as "
            "--auth-jwks-url https://issuer.example/.well-known/jwks.json"
        )
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise ConfigError(f"auth-jwks-url: {url!r} cannot be used; give an https:// address")
    return KeySetTokens(url, issuer=settings.auth_issuer, audience=settings.auth_audience)


def check_secret(secret: str | None) -> str:
    """Give the secret back if it can be used; else `ConfigError`."""
    if secret is None:
        raise ConfigError(
            "GOLDENPATH_AUTH_SECRET: not set; auth hs256 needs a secret of at least "
            f"{LEAST_SECRET_BYTES} bytes (openssl rand -hex 32), or give --auth jwks"
        )
    if len(secret.encode()) < LEAST_SECRET_BYTES:
        raise ConfigError(
            f"GOLDENPATH_AUTH_SECRET: (hidden) is {len(secret.encode())} bytes; "
            f"give at least {LEAST_SECRET_BYTES}, such as from openssl rand -hex 32"
        )
    return secret


def mint(settings: Settings, user: str, now_s: int, ttl_s: float, roles: Sequence[str] = ()) -> str:
    """Mint a token that a server of these settings accepts from `now_s` on for `ttl_s` seconds."""
    claims: dict[str, Any] = {"sub": user, "iat": now_s, "exp": now_s + max(int(ttl_s), 1)}
    if roles:
        claims["roles"] = list(roles)
    if settings.auth_issuer:
        claims["iss"] = settings.auth_issuer
    if settings.auth_audience:
        claims["aud"] = settings.auth_audience
    return jwt.encode(claims, check_secret(settings.auth_secret), algorithm="HS256")
