"""Requests of anybody's making: slow, large, compressed, deep, foreign, or with line ends in them."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from starlette.requests import Request

from goldenpath import App, RunContext, agent
from goldenpath.compose import handshake
from goldenpath.server.table import OPERATIONS
from goldenpath.testing import AppServer

Connect = Callable[[], socket.socket]
DEEP = "[" * 30_000


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    found = b""
    try:
        while chunk := connection.recv(65536):
            found += chunk
    except ConnectionResetError:
        pass
    return found


def bearer(server: AppServer) -> dict[str, str]:
    return {"Authorization": f"Bearer {server.token('ada')}"}


@pytest.mark.parametrize("sent", [b"", b"GET /v1/me HTTP/1.1\r\nHost: x\r\nX-"])
def test_headers_that_never_end_hold_a_connection_for_a_while_only(
    sent: bytes, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "HEADER_SECONDS", 0.2)
    connection = connect()
    connection.sendall(sent)
    answer = everything(connection)
    assert answer == b"" if not sent else answer.startswith(b"HTTP/1.1 408 ")


def test_the_next_request_of_a_connection_is_bounded_too(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshake, "HEADER_SECONDS", 0.3)
    connection = connect()
    connection.sendall(
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"GET /healthz HTTP/1.1\r\n"
    )
    answer = everything(connection)
    assert answer.count(b"HTTP/1.1 200 ") == 2 and b"HTTP/1.1 408 " in answer


def test_a_slow_handler_is_no_slow_header(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, server: AppServer
) -> None:
    """A stream stays open longer than headers may take."""
    monkeypatch.setattr(handshake, "HEADER_SECONDS", 0.2)
    connection = connect()
    token = server.token("ada")
    connection.sendall(
        f"GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    connection.settimeout(0.6)
    got = b""
    with pytest.raises(TimeoutError):
        while chunk := connection.recv(65536):
            got += chunk
    assert b"HTTP/1.1 200 " in got and b" 408 " not in got


def test_endless_headers_are_cut_off(connect: Connect) -> None:
    connection = connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
    try:
        for number in range(4000):
            connection.sendall(f"X-{number}: {'y' * 100}\r\n".encode())
    except (ConnectionError, TimeoutError):
        pass
    answer = everything(connection)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")


def test_a_body_is_not_read_before_its_sender_is_known(connect: Connect) -> None:
    connection = connect()
    head = b"POST /v1/threads HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    connection.sendall(head + b"x" * 1000)
    assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_a_compressed_body_is_not_unpacked(server: AppServer) -> None:
    packed = gzip.compress(b'{"title":"' + b"x" * 10_000_000 + b'"}')
    answer = httpx.post(
        f"{server.url}/v1/threads",
        content=packed,
        headers={**bearer(server), "Content-Encoding": "gzip"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_sockets_are_not_compressed(server: AppServer) -> None:
    """Whatever a client offers: one frame cannot become a thousand times its size."""

    async def extensions() -> list[Any]:
        url = server.url.replace("http", "ws") + "/v1/socket"
        async with websockets.connect(
            url, additional_headers=bearer(server), compression="deflate"
        ) as client:
            return list(client.protocol.extensions)

    assert asyncio.run(extensions()) == []


@pytest.mark.parametrize("body", [DEEP, '{"title":' + DEEP, '{"a":' * 30_000])
def test_deep_json_is_refused_by_name(server: AppServer, body: str) -> None:
    answer = httpx.post(f"{server.url}/v1/threads", content=body, headers=bearer(server))
    assert (answer.status_code, answer.json()["code"]) in {
        (400, "invalid_json"),
        (422, "invalid_field"),
    }


def test_deep_json_on_a_socket_is_refused_by_name(server: AppServer) -> None:
    async def talk() -> tuple[str, str]:
        url = server.url.replace("http", "ws") + "/v1/socket"
        async with websockets.connect(url, additional_headers=bearer(server)) as client:
            await client.send('{"type":"hello","device":"d","cursor":null}')
            welcome = json.loads(await client.recv())
            await client.send('{"type":"send","id":"c","text":' + DEEP)
            while (frame := json.loads(await client.recv()))["type"] != "refused":
                pass
            return welcome["type"], frame["error"]["code"]

    assert asyncio.run(talk()) == ("welcome", "invalid_json")


def test_what_a_request_says_is_in_no_header_of_the_answer(server: AppServer) -> None:
    marker = "injected%0d%0aX-Injected:%20yes"
    for path in (f"/{marker}", f"/v1/threads/{marker}", f"/v1/threads?cursor={marker}",
                 f"/v1/runs/{marker}/cancel", f"/docs?{marker}"):  # fmt: skip
        for method in ("GET", "POST"):
            headers = {**bearer(server), "Origin": server.url}
            answer = httpx.request(method, server.url + path, headers=headers)
            assert "injected" not in str(answer.headers.raw).lower(), (method, path)


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/docs/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/..%2f..%2fetc%2fpasswd",
     "/docs%00.html", "//etc/passwd", "/v1/threads/..%2f..%2fme", "/static/%5c..%5cboot.ini"],
)  # fmt: skip
def test_no_path_leads_to_a_file(server: AppServer, path: str, connect: Connect) -> None:
    connection = connect()
    token = server.token("ada")
    connection.sendall(
        f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n".encode()
    )
    answer = everything(connection)
    assert answer.split(b" ")[1] in (b"404", b"400") and b"root:" not in answer


@agent("echo")
async def echo(run: RunContext, message: str) -> str:
    return message


def test_a_session_s_cookie_does_nothing_for_another_page(tmp_path: Path) -> None:
    """Cross-site request forgery: a browser sends the cookie, and says which page asked."""

    async def user_of(request: Request) -> str | None:
        return request.cookies.get("session")

    app = App(agents=[echo], authenticate=user_of, store=f"sqlite:///{tmp_path / 'a.db'}")
    changing = [one for one in OPERATIONS if one.method != "GET"]

    async def ask(origin: str) -> set[int]:
        transport = httpx.ASGITransport(app.asgi())
        found: set[int] = set()
        async with (
            app.running(),
            httpx.AsyncClient(
                transport=transport, base_url="http://site", cookies={"session": "ada"}
            ) as web,
        ):
            for one in changing:
                path = one.path.replace("{", "").replace("}", "")
                answer = await web.request(
                    one.method, path, headers={"Origin": origin}, content=b"{}"
                )
                found.add(answer.status_code)
        return found

    assert len(changing) > 5
    for origin in ("https://evil.example", "null", "http://site.evil.example", "http://site:81"):
        assert asyncio.run(ask(origin)) == {403}, origin
    assert 403 not in asyncio.run(ask("http://site"))
