"""A demo server gives tokens to this machine alone."""

from typing import Any

import httpx
import jwt
import pytest
from starlette.applications import Starlette

from goldenpath.config import Settings
from goldenpath.demo.tokens import token_route

SECRET = "k" * 64
LOCAL = ("127.0.0.1", 5555)


async def ask(
    body: bytes = b"",
    *,
    peer: tuple[str, int] = LOCAL,
    base: str = "http://127.0.0.1:8700",
    **headers: str,
) -> httpx.Response:
    app = Starlette(routes=[token_route(Settings(auth_secret=SECRET))])
    transport = httpx.ASGITransport(app, client=peer)
    async with httpx.AsyncClient(transport=transport, base_url=base) as client:
        return await client.post("/demo/token", content=body, headers=headers)


def claims(response: httpx.Response) -> dict[str, Any]:
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return jwt.decode(response.json()["token"], SECRET, algorithms=["HS256"])


@pytest.mark.anyio
async def test_every_visit_of_a_browser_is_a_fresh_user() -> None:
    first = claims(await ask(origin="http://127.0.0.1:8700"))
    second = claims(await ask(b"{}", origin="http://127.0.0.1:8700"))
    assert first["sub"] != second["sub"]


@pytest.mark.anyio
async def test_chat_is_one_kept_user() -> None:
    first, second = await ask(b'{"client":"chat"}'), await ask(b'{"client":"chat"}')
    assert claims(first)["sub"] == claims(second)["sub"] == "chat"
    assert first.json()["user_id"] == "chat"


@pytest.mark.parametrize(
    "base",
    ["http://127.0.0.1:8700", "http://localhost:8700", "http://[::1]:8700", "http://localhost"],
)
@pytest.mark.anyio
async def test_every_name_of_this_machine_will_do(base: str) -> None:
    claims(await ask(base=base, peer=("::1", 1), origin=base))


@pytest.mark.parametrize(
    ("peer", "base", "headers"),
    [
        (("10.0.0.7", 1), "http://127.0.0.1:8700", {}),
        (LOCAL, "http://evil.test:8700", {}),
        (LOCAL, "http://127.0.0.1.evil.test", {}),
        (LOCAL, "http://127.0.0.1:8700", {"host": "127.0.0.1:9"}),
        (LOCAL, "http://127.0.0.1:8700", {"host": ""}),
        (LOCAL, "http://127.0.0.1:8700", {"origin": "https://evil.test"}),
        (LOCAL, "http://127.0.0.1:8700", {"origin": "null"}),
        (LOCAL, "http://127.0.0.1:8700", {"origin": "http://127.0.0.1:9999"}),
    ],
)
@pytest.mark.anyio
async def test_others_are_refused(
    peer: tuple[str, int], base: str, headers: dict[str, str]
) -> None:
    response = await ask(peer=peer, base=base, **headers)
    assert response.status_code == 403
    assert response.json()["code"] == "forbidden"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b"[]", 422, "invalid_field"),
        (b'{"client":"root"}', 422, "invalid_field"),
        (b'{"user":"ada"}', 422, "invalid_field"),
        (b" " * 2000, 413, "too_large"),
    ],
)
@pytest.mark.anyio
async def test_what_is_not_valid_is_refused(body: bytes, status: int, code: str) -> None:
    response = await ask(body)
    assert (response.status_code, response.json()["code"]) == (status, code)
