"""Case 15: who is not who they say gets nothing, not even whether it exists."""

import asyncio
import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.mission_critical.kit import (
    Device,
    RefusedCommandError,
    Server,
    check_run,
    new_id,
    token,
)
from tests.mission_critical.places import Place

pytestmark = pytest.mark.anyio

ISSUER, AUDIENCE = "https://issuer.example", "goldenpath-test"


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return ("--auth-audience", AUDIENCE, "--auth-issuer", ISSUER)


def good(user: str, **claims: Any) -> str:
    return token(user, **{"aud": AUDIENCE, "iss": ISSUER, **claims})


def unsigned(user: str) -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"sub": user, "exp": int(time.time()) + 600, "aud": AUDIENCE, "iss": ISSUER}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}."


def bad_tokens(user: str) -> dict[str, str | None]:
    return {
        "no token": None,
        "rubbish": "rubbish",
        "expired": good(user, exp=int(time.time()) - 5),
        "no end": good(user, exp=None),
        "wrong key": good(user, secret="another-secret-of-at-least-32-bytes!"),
        "none": unsigned(user),
        "another audience": good(user, aud="someone-else"),
        "no audience": good(user, aud=None),
        "another issuer": good(user, iss="https://evil.example"),
        "no subject": good(user, sub=None),
        "empty subject": good(user, sub=""),
        "a number for a subject": good(user, sub=7),
        "very long": good(user, padding="x" * 20_000),
    }


async def upgrade_status(server: Server, bearer: str | None, **headers: str) -> int:
    """The plain HTTP answer to a socket's upgrade."""
    if bearer is not None:
        headers["Authorization"] = f"Bearer {bearer}"
    try:
        async with connect(
            f"ws://127.0.0.1:{server.port}/v1/socket", additional_headers=headers, proxy=None
        ):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


async def test_bad_tokens_are_refused_everywhere_before_any_state_exists(server: Server) -> None:
    bodies: set[str] = set()
    for what, bad in bad_tokens("ada").items():
        assert await upgrade_status(server, bad) == 401, what
        async with server.http(bearer=bad) as web:
            for method, path in (
                ("GET", "/v1/me"), ("GET", "/v1/events"), ("GET", "/v1/threads"),
                ("POST", "/v1/threads"), ("POST", "/v1/threads/x/messages"),
                ("POST", "/v1/ack"), ("DELETE", "/v1/me"), ("POST", "/v1/runs/x/cancel"),
            ):  # fmt: skip
                answer = await web.request(
                    method, path, json={"text": "x"} if method == "POST" else None
                )
                assert answer.status_code == 401, (what, path, answer.text)
                assert answer.json()["code"] == "unauthenticated"
                if path == "/v1/me" and method == "GET":
                    bodies.add(answer.text)
    assert len(bodies) == 1, "a refusal tells what was wrong with the token"
    done = server.command("runs", "--json", "--store", server.store_url)
    assert done.stdout == "" and not server.effects()


async def test_a_handshake_with_endless_headers_is_answered(server: Server) -> None:
    assert await upgrade_status(server, "x" * 60_000) == 431


async def test_a_burst_of_bad_tokens_hurts_no_one_else(server: Server) -> None:
    bad = list(bad_tokens("eve").values())

    async def attack(web: httpx.AsyncClient, index: int) -> None:
        value = bad[index % len(bad)]
        headers = {} if value is None else {"Authorization": f"Bearer {value}"}
        assert (await web.get("/v1/me", headers=headers)).status_code == 401

    async with (
        server.http() as web,
        Device(server, "good", bearer=good("good")) as tab,
        asyncio.TaskGroup() as tasks,
    ):
        for index in range(400):
            tasks.create_task(attack(web, index))
        for _ in range(5):
            _, end = await tab.ask("unhurt?", agent="plain")
            assert end["status"] == "succeeded"
    assert "Bearer" not in server.log_text() and good("x")[:20] not in server.log_text()


async def test_what_is_anothers_is_as_what_does_not_exist(server: Server) -> None:
    async with Device(server, "owner", bearer=good("owner")) as owner:
        sent = await owner.send("8", agent="asks")
        approval = (await owner.event("approval_requested"))["data"]["approval_id"]
        thread, run = sent["thread_id"], sent["run_id"]
        async with (
            Device(server, "thief", bearer=good("thief")) as thief,
            server.http(bearer=good("thief")) as web,
        ):
            for frame in (
                {"type": "send", "thread_id": thread, "text": "hi"},
                {"type": "cancel", "run_id": run},
                {"type": "decide", "approval_id": approval, "decision": "approve"},
            ):
                answers = []
                key = next(k for k in ("approval_id", "run_id", "thread_id") if k in frame)
                for known in (frame[key], "01a20774-0eb2-7f06-a7c1-000000000000"):
                    with pytest.raises(RefusedCommandError) as refused:
                        await thief.command({**frame, key: known})
                    answers.append(refused.value.frame["error"])
                assert answers[0]["code"] == "not_found" and answers[0] == answers[1]
            for method, path, body in (
                ("GET", "/v1/threads/{}", None),
                ("GET", "/v1/threads/{}/messages", None),
                ("PATCH", "/v1/threads/{}", {"title": "mine"}),
                ("DELETE", "/v1/threads/{}", None),
                ("POST", "/v1/threads/{}/messages", {"text": "hi"}),
                ("GET", "/v1/runs/{}", None),
                ("GET", "/v1/runs/{}/events", None),
                ("POST", "/v1/runs/{}/cancel", None),
                ("POST", "/v1/approvals/{}", {"decision": "approve"}),
            ):
                own = thread if "threads" in path else run if "runs" in path else approval
                replies = [
                    await web.request(method, path.format(known), json=body)
                    for known in (own, "01a20774-0eb2-7f06-a7c1-000000000000")
                ]
                assert replies[0].status_code == 404, (method, path)
                assert replies[0].text == replies[1].text, (method, path)
            assert (await web.get("/v1/threads")).json()["items"] == []
            assert (await web.get("/v1/search?q=8")).json()["items"] == []
            await thief.fence()
            assert thief.log.events == []
        # Nothing of it has happened.
        await owner.decide(approval, "approve")
        assert (await owner.end(run))["output"] == "moved 8"
        check_run(owner.log.of(run))
        assert len(server.effects("transfer", amount=8)) == 1


async def test_a_socket_is_not_opened_from_another_site(server: Server) -> None:
    assert await upgrade_status(server, good("ada"), Origin="https://evil.example") == 403
    assert await upgrade_status(server, good("ada"), Origin=server.url) == 101
    async with server.http(bearer=good("ada")) as web:
        answer = await web.post("/v1/threads", json={}, headers={"Origin": "https://evil.example"})
        assert answer.status_code == 403 and answer.json()["code"] == "forbidden"


async def test_a_browser_gives_its_token_as_a_subprotocol_that_is_not_echoed(
    server: Server,
) -> None:
    offered = ["goldenpath.v1", f"goldenpath.token.{good('ada')}"]
    async with connect(
        f"ws://127.0.0.1:{server.port}/v1/socket", subprotocols=offered, proxy=None
    ) as socket:
        assert socket.subprotocol == "goldenpath.v1"
    answer = httpx.get(f"{server.url}/v1/me?token={good('ada')}", trust_env=False)
    assert answer.status_code == 401, "a token in a URL was taken"


# -- an issuer with published keys -----------------------------------------------------------


class Issuer:
    """An issuer's key set on a port of its own."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public: dict[str, Any] = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        document = json.dumps({"keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}]})
        issuer = self
        self.fetches = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.fetches += 1
                self.send_response(200)
                self.send_header("Content-Length", str(len(document)))
                self.end_headers()
                self.wfile.write(document.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/keys"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def token(self, user: str, kid: str = "one", key: Any = None) -> str:
        claims = {"sub": user, "exp": int(time.time()) + 600}
        return jwt.encode(claims, key or self.key, algorithm="RS256", headers={"kid": kid})

    def confused(self, user: str) -> str:
        """HS256, signed with the public key's text as the secret."""
        pem = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

        def part(value: object) -> bytes:
            return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

        head = part({"alg": "HS256", "typ": "JWT", "kid": "one"})
        body = head + b"." + part({"sub": user, "exp": int(time.time()) + 600})
        signature = base64.urlsafe_b64encode(hmac.digest(pem, body, hashlib.sha256)).rstrip(b"=")
        return (body + b"." + signature).decode()


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    try:
        yield issuer
    finally:
        issuer.close()


async def test_published_keys_and_no_confusion_of_algorithms(
    tmp_path: Path, issuer: Issuer, place: Place
) -> None:
    server = Server(tmp_path, "--auth", "jwks", "--auth-jwks-url", issuer.url, place=place)
    server.environment["NO_PROXY"] = "127.0.0.1"
    server.start()
    try:
        async with Device(server, "ada", bearer=issuer.token("ada")) as tab:
            _, end = await tab.ask("x", agent="plain")
            assert end["status"] == "succeeded"
        other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        for bad in (
            issuer.confused("ada"),
            issuer.token("ada", key=other),
            issuer.token("ada", kid="unknown"),
            token("ada"),
            unsigned("ada"),
        ):
            assert await upgrade_status(server, bad) == 401
        async with server.http() as web, asyncio.TaskGroup() as tasks:
            for i in range(100):
                headers = {"Authorization": f"Bearer {issuer.token('ada', kid=f'kid{i}')}"}
                tasks.create_task(web.get("/v1/me", headers=headers))
        assert issuer.fetches <= 3, "bad tokens make the server ask the issuer"
        server.stop()
        server.check()
    finally:
        server.kill()


async def test_ids_of_one_user_do_nothing_for_another(server: Server) -> None:
    """The same command id of two users is two commands."""
    id = new_id()
    runs = set()
    for user in ("one", "two"):
        async with Device(server, user, bearer=good(user)) as tab:
            frame = {"type": "send", "id": id, "thread_id": None, "text": user, "agent": "plain"}
            sent = await tab.command(frame)
            assert not sent["duplicate"]
            assert (await tab.end(sent["run_id"]))["output"] == f"You said: {user}"
            runs.add(sent["run_id"])
    assert len(runs) == 2
