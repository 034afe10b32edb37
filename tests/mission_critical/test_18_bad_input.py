"""Case 18: what is not valid is refused by its name, and the connection lives."""

import contextlib
import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from tests.mission_critical.kit import JSON, Device, Server, new_id, token

pytestmark = pytest.mark.anyio

SEND: JSON = {"type": "send", "id": "x", "thread_id": None, "text": "t"}
FRAMES: dict[str, tuple[Any, str]] = {
    "not JSON": ("{nope", "invalid_json"),
    "empty": ("", "invalid_json"),
    "half": ('{"type": "send", "id": "x"', "invalid_json"),
    "not a number of JSON": ('{"type": "ack", "cursor": NaN}', "invalid_json"),
    "a list": ("[1, 2]", "invalid_field"),
    "a number": ("7", "invalid_field"),
    "deep nesting": ("[" * 100_000, "invalid_json"),
    "deep nesting in a field": ('{"type":"ping","id":' + '{"a":' * 50_000, "invalid_json"),
    "no type": ({"id": "x"}, "invalid_field"),
    "a type of a number": ({"type": 7}, "invalid_field"),
    "unknown type": ({"type": "shout", "id": "x"}, "unknown_type"),
    "the server's welcome": ({"type": "welcome", "id": "x"}, "unknown_type"),
    "the server's events": (
        {"type": "events", "from": 0, "to": 1, "hidden": 0, "mark": "m", "events": []},
        "unknown_type",
    ),
    "the server's accepted": ({"type": "accepted", "id": "x"}, "unknown_type"),
    "an event": ({"type": "agent_completed", "id": "x"}, "unknown_type"),
    "missing text": ({"type": "send", "id": "x", "thread_id": None}, "invalid_field"),
    "missing id": ({"type": "send", "thread_id": None, "text": "t"}, "invalid_field"),
    "text of a number": ({**SEND, "text": 7}, "invalid_field"),
    "text of null": ({**SEND, "text": None}, "invalid_field"),
    "an extra field": ({**SEND, "run_id": "r"}, "invalid_field"),
    "a user of its own": ({**SEND, "user_id": "mallory"}, "invalid_field"),
    "an id with a slash": ({**SEND, "id": "a/b"}, "invalid_field"),
    "an id too long": ({**SEND, "id": "a" * 65}, "invalid_field"),
    "an empty id": ({**SEND, "id": ""}, "invalid_field"),
    "a way to be busy that there is not": ({**SEND, "when_busy": "panic"}, "invalid_field"),
    "a lone surrogate": ('{"type":"send","id":"x","thread_id":null,"text":"\\ud800"}', "invalid"),
    "an attachment": ({**SEND, "attachments": ["a"]}, "invalid_field"),
    "unknown agent": ({**SEND, "agent": "nobody"}, "unknown_agent"),
    "unknown thread": ({**SEND, "thread_id": "nothing"}, "not_found"),
    "too much text": ({**SEND, "text": "x" * 70_000}, "too_large"),
    "a decision that is none": (
        {"type": "decide", "id": "x", "approval_id": "a", "decision": "perhaps"},
        "invalid_field",
    ),
    "an ack of the future": ({"type": "ack", "cursor": 1 << 40}, "invalid_field"),
    "an ack below nothing": ({"type": "ack", "cursor": -1}, "invalid_field"),
    "binary": (b'{"type": "ping", "id": "x"}', "invalid_json"),
}


async def test_each_kind_is_refused_by_its_name_and_the_connection_lives(server: Server) -> None:
    async with Device(server, "ada") as tab:
        for what, (frame, code) in FRAMES.items():
            tab.order.clear()
            if isinstance(frame, dict) and frame.get("id") == "x":
                frame = {**frame, "id": new_id()}
            await tab.write(frame)
            await tab.until(lambda: tab.order)
            answer = tab.order[0]
            assert answer["type"] == "refused", (what, answer)
            assert answer["error"]["code"].startswith(code), (what, answer)
            assert answer["error"]["message"], what
            if isinstance(frame, dict) and "text" in frame and len(str(frame.get("id"))) == 32:
                assert answer["id"] == frame["id"], what
            await tab.write({"type": "ping", "id": "alive"})
            await tab.until(lambda: tab.order[1:])
            assert tab.order[1] == {"type": "pong", "id": "alive"}, what
        await tab.fence()
        assert tab.log.events == [], "something of it has happened"
        _, end = await tab.ask("and now well", agent="plain")
        assert end["status"] == "succeeded"


async def test_strange_text_is_text(server: Server) -> None:
    """Everything that is Unicode goes through unharmed."""
    strange = "\x00\x1f \x7f \u2028 \ufeff \U0010ffff \ufffd 👩‍👩‍👧‍👦 <script> \\u0000 ‮"
    async with Device(server, "bob") as tab:
        sent, end = await tab.ask(strange, agent="plain")
        assert end["output"] == f"You said: {strange}"
        history = await server.history("bob", sent["thread_id"])
        assert history["items"][0]["text"] == strange


async def test_ten_megabytes_close_with_their_own_code(server: Server) -> None:
    async with Device(server, "cyd") as tab:
        with contextlib.suppress(ConnectionClosed):  # it may close before all is written
            await tab.write(json.dumps({**SEND, "text": "x" * 10_000_000}))
        assert await tab.until_closed() == 1009
    async with Device(server, "cyd") as tab:
        await tab.ask("again", agent="plain")


async def test_what_is_not_utf8_closes_with_its_own_code(server: Server) -> None:
    async with Device(server, "dee") as tab:
        data = Frame(Opcode.TEXT, b'{"type": "ping", "id": "\xff\xfe"}').serialize(mask=True)
        tab.socket.transport.write(data)
        assert await tab.until_closed() == 1007
    async with Device(server, "dee") as tab:
        await tab.ask("again", agent="plain")


@pytest.mark.parametrize(
    "hello",
    [
        {"type": "hello"},
        {"type": "hello", "device": "a b", "cursor": None},
        {"type": "hello", "device": "d", "cursor": 5},
        {"type": "hello", "device": "d", "cursor": -1, "mark": "m"},
        {"type": "hello", "device": "d", "cursor": "5", "mark": "m"},
        {"type": "hello", "device": "d", "cursor": None, "more": 1},
        "rubbish",
        b"rubbish",
    ],
    ids=str,
)
async def test_a_bad_hello_closes(server: Server, hello: Any) -> None:
    tab = Device(server, "eve")
    await tab.open()
    await tab.write(hello)
    assert await tab.until_closed() == 4400


async def test_http_refuses_by_name_too(server: Server) -> None:
    async with server.http("fay") as web:
        made = await web.post("/v1/threads", json={"title": "t"})
        assert made.status_code == 201
        path = f"/v1/threads/{made.json()['thread_id']}/messages"
        cases: list[tuple[dict[str, Any], int, str]] = [
            ({"content": b"{nope"}, 400, "invalid_json"),
            ({"content": b"\xff\xfe"}, 400, "invalid_json"),
            ({"content": b"[" * 100_000}, 400, "invalid_json"),
            ({"json": {}}, 422, "invalid_field"),
            ({"json": {"text": 7}}, 422, "invalid_field"),
            ({"json": {"text": "t", "user_id": "m"}}, 422, "invalid_field"),
            ({"json": {"text": "t", "agent": "nobody"}}, 422, "unknown_agent"),
            ({"json": {"text": "x" * 70_000}}, 413, "too_large"),
            ({"content": b"x" * 1_000_000}, 413, "too_large"),
            ({"json": {"text": "t"}, "headers": {"Idempotency-Key": "a b"}}, 422, "invalid_field"),
        ]
        for arguments, status, code in cases:
            answer = await web.post(path, **arguments)
            shown = str(arguments)[:80]
            assert answer.headers["content-type"] == "application/problem+json", shown
            assert answer.json()["code"] == code, (shown, answer.text)
            assert answer.status_code == status, (shown, answer.text)
            assert answer.json()["message"] and "retryable" in answer.json()
        for query in ("limit=0", "limit=x", "cursor=nonsense", "unknown=1"):
            answer = await web.get(f"/v1/threads?{query}")
            assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field"), query
        history = (await web.get(path)).json()
        assert history["items"] == []
        good = await web.post(path, json={"text": "t", "agent": "plain"})
        assert good.status_code == 202 and good.headers["Idempotency-Key"] == good.json()["id"]
    bare = httpx.get(f"{server.url}/nothing", trust_env=False)
    assert bare.status_code == 404
    wrong = httpx.put(
        f"{server.url}/v1/me", headers={"Authorization": f"Bearer {token('fay')}"}, trust_env=False
    )
    assert wrong.status_code == 405
