"""The same application behind the real server: what only real sockets and a real parser can show."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import httpx
import pytest
import uvicorn
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Frame, Opcode

from goldenpath.compose.serving import bind, url_of
from tests.server.kit import BOUND, Site, token

pytestmark = pytest.mark.anyio


@pytest.fixture
async def port(site: Site) -> AsyncGenerator[int]:
    """The site behind uvicorn, configured as `goldenpath serve` does."""
    listener = bind("127.0.0.1", 0, "port")
    config = uvicorn.Config(
        site.server,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=site.host.limits.frame_bytes,
        ws_per_message_deflate=False,
        lifespan="off",
        log_config=None,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    server.capture_signals = nullcontext  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield int(url_of(listener).rpartition(":")[2])
    finally:
        server.should_exit = True
        await serving


def opening(port: int, **options: Any) -> Any:
    headers = options.pop("headers", {"Authorization": f"Bearer {token()}"})
    return connect(
        f"ws://127.0.0.1:{port}/v1/socket",
        additional_headers=headers,
        proxy=None,
        compression=None,
        max_size=None,
        open_timeout=BOUND,
        **options,
    )


@asynccontextmanager
async def opened(port: int) -> AsyncGenerator[ClientConnection]:
    """A socket that said hello from the beginning."""
    async with opening(port) as socket:
        await socket.send(json.dumps({"type": "hello", "device": "d", "cursor": 0}))
        assert json.loads(await socket.recv())["type"] == "welcome"
        yield socket


async def close_code(socket: ClientConnection) -> int:
    async with asyncio.timeout(BOUND):
        while True:
            try:
                await socket.recv()
            except ConnectionClosed as closed:
                assert closed.rcvd is not None
                return closed.rcvd.code


async def test_a_browser_offers_its_token_as_a_subprotocol(port: int) -> None:
    offered: Any = ["goldenpath.v1", f"goldenpath.token.{token()}"]
    async with opening(port, headers={}, subprotocols=offered) as socket:
        assert socket.subprotocol == "goldenpath.v1"


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 401, "unauthenticated"),
        ({"Authorization": "Bearer nonsense"}, 401, "unauthenticated"),
        ({"Authorization": f"Bearer {token()}", "Origin": "http://evil"}, 403, "forbidden"),
    ],
)
async def test_who_may_not_come_in_gets_a_plain_http_answer(
    port: int, headers: dict[str, str], status: int, code: str
) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opening(port, headers=headers):
            pass
    response = caught.value.response
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert json.loads(response.body)["code"] == code


async def test_a_frame_over_the_limit_closes_with_1009(port: int) -> None:
    async with opened(port) as socket:
        await socket.send("x" * (256 * 1024 + 1))
        assert await close_code(socket) == 1009


async def test_bytes_that_are_not_utf_8_close_with_1007(port: int) -> None:
    async with opened(port) as socket:
        await socket.send(b'{"type":"ping","id":"\xff"}', text=True)
        assert await close_code(socket) == 1007


async def test_a_fragmented_frame_is_one_frame(port: int) -> None:
    async with opened(port) as socket:
        await socket.send(iter(['{"type":"pi', 'ng","id":', '"p"}']))
        assert json.loads(await socket.recv()) == {"type": "pong", "id": "p"}


async def test_five_hundred_commands_in_one_write_are_answered_in_order(port: int) -> None:
    frames = b""
    for number in range(500):
        text = json.dumps({"type": "cancel", "id": f"c{number}", "run_id": "none"})
        frames += Frame(Opcode.TEXT, text.encode()).serialize(mask=True)
    async with opened(port) as socket:
        socket.transport.write(frames)
        answers: list[dict[str, Any]] = []
        async with asyncio.timeout(60):
            while len(answers) < 500:
                frame = json.loads(await socket.recv())
                if frame["type"] != "events":
                    answers.append(frame)
    assert [frame["id"] for frame in answers] == [f"c{number}" for number in range(500)]
    assert {frame["error"]["code"] for frame in answers} == {"not_found"}


async def test_a_stream_is_read_by_a_plain_http_client(site: Site, port: int) -> None:
    await site.ask("hello")
    headers = {"Authorization": f"Bearer {token()}"}
    text = b""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=BOUND) as web,
        web.stream("GET", f"http://127.0.0.1:{port}/v1/events?after=0", headers=headers) as stream,
    ):
        assert stream.headers["content-type"] == "text/event-stream"
        async for piece in stream.aiter_raw():
            text += piece
            if b"agent_completed" in text:
                break
    blocks = text.split(b"\n\n")
    assert blocks.pop() == b""
    for block in blocks:
        first, second = block.split(b"\n")
        assert first.startswith(b"id: ")
        assert json.loads(second.removeprefix(b"data: "))


async def test_shutting_down_says_goodbye_to_sockets_and_streams(site: Site, port: int) -> None:
    headers = {"Authorization": f"Bearer {token()}"}
    async with (
        opened(port) as socket,
        httpx.AsyncClient(trust_env=False, timeout=BOUND) as web,
        web.stream("GET", f"http://127.0.0.1:{port}/v1/events", headers=headers) as stream,
    ):
        lines = stream.aiter_lines()
        while '"welcome"' not in await anext(lines):
            pass
        await site.server.goodbye()
        assert json.loads(await socket.recv())["type"] == "goodbye"
        assert await close_code(socket) == 1001
        rest = [line async for line in lines if line]
    assert '"goodbye"' in rest[-1]
