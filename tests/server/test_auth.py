"""Who asks: every way in which a token can be wrong, and that they all look the same."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request

from goldenpath.errors import ConfigError, RefusedError
from goldenpath.server.auth import (
    ApplicationUsers,
    Authenticator,
    KeySetTokens,
    SecretTokens,
    origin_allowed,
)
from tests.server.kit import SECRET, Site

pytestmark = pytest.mark.anyio
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
PRIVATE: dict[str, Any] = {"RS256": RSA, "ES256": EC, "EdDSA": ED}


def jwk(algorithm: str, key: Any, **more: Any) -> dict[str, Any]:
    made: Any = jwt.get_algorithm_by_name(algorithm)
    described: dict[str, Any] = made.to_jwk(key.public_key(), as_dict=True)
    kept = {k: v for k, v in described.items() if k != "key_ops"}
    return {**kept, "kid": algorithm, "use": "sig", **more}


KEYS = {"keys": [jwk(name, key) for name, key in PRIVATE.items()]}


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims, changed; None leaves one out."""
    body = {"sub": "ada", "exp": int(time.time()) + 600, "iss": "issuer", "aud": "here", **changes}
    return {k: v for k, v in body.items() if v is not None}


def key_set(document: Any = KEYS) -> KeySetTokens:
    async def fetch(_: str) -> Any:
        return document

    return KeySetTokens("https://issuer/keys", issuer="issuer", audience="here", fetch=fetch)


def secret() -> SecretTokens:
    return SecretTokens(SECRET, issuer="issuer", audience="here")


def unsigned(header: Any, payload: Any, signature: bytes = b"") -> str:
    parts = (json.dumps(header).encode(), json.dumps(payload).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(p).decode().rstrip("=") for p in parts)


async def refusal(auth: Authenticator, token: str) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        await auth.renew(token)
    return caught.value


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_a_token_of_the_issuers_key_is_taken(algorithm: str) -> None:
    token = jwt.encode(
        claims(roles=["operator"]), PRIVATE[algorithm], algorithm, {"kid": algorithm}
    )
    principal = await key_set().renew(token)
    assert (principal.user, principal.roles) == ("ada", {"operator"})
    assert principal.expires is not None
    assert abs(principal.expires - time.time() - 600) < 5


async def test_a_token_of_the_secret_is_taken() -> None:
    principal = await secret().renew(jwt.encode(claims(aud=["other", "here"]), SECRET, "HS256"))
    assert (principal.user, principal.roles) == ("ada", frozenset())


BAD_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"exp": int(time.time()) - 1},
    "without exp": {"exp": None},
    "exp is text": {"exp": "soon"},
    "exp is a list": {"exp": []},
    "exp beyond numbers": {"exp": 1e400},
    "not yet": {"nbf": int(time.time()) + 600},
    "other issuer": {"iss": "other"},
    "without issuer": {"iss": None},
    "other audience": {"aud": "other"},
    "without audience": {"aud": None},
    "without sub": {"sub": None},
    "empty sub": {"sub": ""},
    "sub is a number": {"sub": 5},
    "sub too long": {"sub": "x" * 257},
    "sub with NUL": {"sub": "a\x00b"},
    "sub is no Unicode": {"sub": "a\ud800"},
}


@pytest.mark.parametrize("name", BAD_CLAIMS)
async def test_claims_that_do_not_hold_are_unauthenticated(name: str) -> None:
    changed = claims(**BAD_CLAIMS[name])
    for auth, token in (
        (secret(), jwt.encode(changed, SECRET, "HS256") if name not in _UNCODABLE else None),
        (
            key_set(),
            jwt.encode(changed, ED, "EdDSA", {"kid": "EdDSA"}) if name not in _UNCODABLE else None,
        ),
    ):
        if token is None:
            token = _signed_anyway(changed)
            auth = secret()
        assert (await refusal(auth, token)).code == "unauthenticated"


_UNCODABLE = {"sub is a number", "exp is text", "exp is a list"}


def _signed_anyway(body: dict[str, Any]) -> str:
    """A token that a careless issuer signs though its claims are no claims."""
    return jwt.PyJWS().encode(json.dumps(body).encode(), SECRET, "HS256")


def public_pem() -> bytes:
    return RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def forged(algorithm: str, key: bytes) -> str:
    """An HMAC by a public key, as whoever confuses algorithms would make it."""
    import hashlib
    import hmac

    signing = unsigned({"alg": algorithm, "typ": "JWT", "kid": "RS256"}, claims()).rstrip(".")
    mac = hmac.new(key, signing.encode(), hashlib.sha256).digest()
    return f"{signing}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


CONFUSED = {
    "none": unsigned({"alg": "none"}, claims()),
    "None": unsigned({"alg": "None"}, claims()),
    "none with kid": unsigned({"alg": "none", "kid": "RS256"}, claims()),
    "no alg": unsigned({"kid": "RS256"}, claims(), b"x"),
    "alg is a list": unsigned({"alg": ["RS256"], "kid": "RS256"}, claims(), b"x"),
    "kid is an object": unsigned({"alg": "RS256", "kid": {}}, claims(), b"x"),
    "HS256 by the public key": forged("HS256", public_pem()),
    "RS256 by an HMAC of the public key": forged("RS256", public_pem()),
    "HS256 by the secret": jwt.encode(claims(), SECRET, "HS256", {"kid": "RS256"}),
    "HS512": jwt.encode(claims(), SECRET * 2, "HS512"),
    "RS512": jwt.encode(claims(), RSA, "RS512", {"kid": "RS256"}),
    "another key of the same name": jwt.encode(claims(), OTHER_RSA, "RS256", {"kid": "RS256"}),
    "a key for another algorithm": jwt.encode(claims(), ED, "EdDSA", {"kid": "ES256"}),
    "unknown key": jwt.encode(claims(), RSA, "RS256", {"kid": "unknown"}),
    "no kid among many": jwt.encode(claims(), RSA, "RS256"),
    "key in the header": jwt.encode(claims(), OTHER_RSA, "RS256", {"jwk": jwk("RS256", OTHER_RSA)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFUSED)
async def test_confused_algorithms_and_keys_are_unauthenticated(name: str) -> None:
    assert (await refusal(key_set(), CONFUSED[name])).code == "unauthenticated"
    if name != "HS256 by the secret":
        assert (await refusal(secret(), CONFUSED[name])).code == "unauthenticated"


@pytest.mark.parametrize(
    "token",
    ["", ".", "..", "a.b.c", "x" * 20_000, "ä.ö.ü", "a b c", "\x00", "\ud800.a.b",
     base64.urlsafe_b64encode(b'{"alg":' + b"[" * 9_000).decode() + ".e30.x",
     unsigned([], {}), unsigned("RS256", {}), unsigned({"alg": "HS256"}, [1]),
     unsigned({"alg": "HS256", "b64": False, "crit": ["b64"]}, {})],
    ids=range(14),
)  # fmt: skip
@pytest.mark.parametrize("auth", [secret(), key_set()], ids=["secret", "keys"])
async def test_nonsense_is_unauthenticated(auth: Authenticator, token: str) -> None:
    assert (await refusal(auth, token)).code == "unauthenticated"


async def test_all_bad_tokens_get_the_same_answer(site: Site) -> None:
    tokens = [
        "nonsense",
        jwt.encode(claims(exp=1), SECRET, "HS256"),
        jwt.encode(claims(sub=""), SECRET, "HS256"),
        jwt.encode(claims(), SECRET[::-1], "HS256"),
        CONFUSED["none"],
    ]
    answers = set[str]()
    for token in tokens:
        async with site.http(None, authorization=f"Bearer {token}") as web:
            answer = await web.get("/v1/me")
        assert answer.status_code == 401
        answers.add(answer.text)
        assert token not in answer.text
    assert len(answers) == 1


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic YTpi", f"Token {jwt.encode(claims(), SECRET)}"]
)
async def test_other_schemes_are_unauthenticated(site: Site, header: str) -> None:
    async with site.http(None, authorization=header) as web:
        assert (await web.get("/v1/me")).status_code == 401


async def test_without_issuer_and_audience_they_are_not_looked_at() -> None:
    auth = SecretTokens(SECRET)
    assert (await auth.renew(jwt.encode(claims(), SECRET, "HS256"))).user == "ada"


def test_a_short_secret_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match="32 bytes"):
        SecretTokens("short")


async def test_an_applications_own_sessions_know_its_users() -> None:
    async def by_cookie(request: Request) -> str | None:
        if request.cookies.get("session") == "banned":
            raise HTTPException(403)
        if request.cookies.get("session") == "unknown":
            raise HTTPException(401)
        return request.cookies.get("session")

    def connection(cookie: str, kind: str = "http") -> HTTPConnection:
        headers = [(b"cookie", f"session={cookie}".encode())]
        return HTTPConnection({"type": kind, "path": "/", "headers": headers, "method": "GET"})

    auth = ApplicationUsers(by_cookie)
    assert (await auth.authenticate(connection("ada"))).user == "ada"
    assert (await auth.authenticate(connection("ada", "websocket"))).expires is None
    refused = {"": "unauthenticated", "unknown": "unauthenticated", "banned": "forbidden",
               "x" * 300: "unauthenticated"}  # fmt: skip
    for cookie, code in refused.items():
        with pytest.raises(RefusedError) as caught:
            await auth.authenticate(connection(cookie))
        assert caught.value.code == code
    assert (await refusal(auth, "anything")).code == "unauthenticated"


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "a.example", True),
        ("https://a.example", "a.example", True),
        ("http://a.example:8700", "a.example:8700", True),
        ("https://b.example", "a.example", True),
        ("https://a.example.evil", "a.example", False),
        ("https://evil/a.example", "a.example", False),
        ("http://b.example", "a.example", False),
        ("null", "a.example", False),
        ("", "a.example", False),
        ("https://", "", False),
    ],
)
def test_our_own_origin_and_the_allowed_ones(origin: str | None, host: str, allowed: bool) -> None:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    connection = HTTPConnection({"type": "websocket", "path": "/", "headers": headers})
    assert origin_allowed(connection, ("https://b.example",)) is allowed
