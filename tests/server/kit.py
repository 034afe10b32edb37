"""A whole server in memory: engine host, store and ASGI application, with peers that speak ASGI."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import jwt
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Scope

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, agent
from goldenpath.engine.host import EngineHost
from goldenpath.engine.limits import Limits
from goldenpath.engine.ports import Observer
from goldenpath.errors import PositionError, StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.server.app import Server, build_asgi
from goldenpath.server.auth import Authenticator, Principal, SecretTokens, token_of
from goldenpath.server.settings import ServerSettings
from goldenpath.store.interface import Position, Store
from goldenpath.testing.memory_disk import Disk
from goldenpath.testing.memory_store import MemoryStore

SECRET = "a-secret-of-32-bytes-or-more-----"
BOUND = 20.0
"""Seconds after which a wait has failed."""
JSON = dict[str, Any]


def token(user: str = "ada", *, ttl: float = 600, **claims: Any) -> str:
    """A token that the site takes; a claim that is None is left out."""
    body = {"sub": user, "exp": int(time.time() + ttl), **claims}
    kept = {name: value for name, value in body.items() if value is not None}
    return jwt.encode(kept, SECRET, algorithm="HS256")


class ShortLived:
    """Tokens `<user>:<seconds>`, which are good for that long from when they are seen."""

    async def authenticate(self, connection: HTTPConnection) -> Principal:
        return await self.renew(token_of(connection))

    async def renew(self, token: str) -> Principal:
        user, _, seconds = token.partition(":")
        return Principal(UserId(user), time.time() + float(seconds))


class SwitchedStore:
    """A store that can go away, in whole or for one operation, or turn out to be another one."""

    def __init__(self, store: Store) -> None:
        self.inner = store
        self.away: set[str] = set()
        self.replaced = False
        self.reading = asyncio.Event()
        self.reading.set()
        """Cleared, reads wait."""
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if name not in ("read", "head", "submit", "acknowledge", "fetched", "history"):
            return method

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            if name in self.away:
                raise StoreUnavailableError("the store was switched off")
            if name == "read":
                await self.reading.wait()
            if name == "read" and self.replaced:
                raise PositionError("the store was replaced")
            return await method(*args, **kwargs)

        return call

    def wake(self, user: str) -> None:
        """Wake readers although nothing is new, which R6 allows."""
        self.inner._notify(UserId(user))  # type: ignore[attr-defined]


class Counting(Observer):
    """Remembers what the tests ask for."""

    def __init__(self) -> None:
        self.open_sockets = 0
        self.delivered = 0

    def sockets(self, count: int) -> None:
        self.open_sockets = count

    def answer_delivered(self) -> None:
        self.delivered += 1


class Site:
    """What a test sees of the server."""

    def __init__(self, host: EngineHost, server: Server, store: SwitchedStore) -> None:
        self.host = host
        self.server = server
        self.store = store
        self.counting: Counting = host.observer  # type: ignore[assignment]
        self.gate = asyncio.Event()
        """Opened, it lets `gated` agents end."""

    def http(self, user: str | None = "ada", **headers: str) -> httpx.AsyncClient:
        """An HTTP client of a user."""
        if user is not None:
            headers.setdefault("Authorization", f"Bearer {token(user)}")
        transport = httpx.ASGITransport(self.server, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://site", headers=headers)

    def peer(self, user: str = "ada", **options: Any) -> Peer:
        """A socket of a user that is not open yet."""
        return Peer(self.server, bearer=options.pop("bearer", None) or token(user), **options)

    @asynccontextmanager
    async def tab(self, user: str = "ada", **hello: Any) -> AsyncGenerator[Peer]:
        """A socket that said hello; its first frame was `welcome`."""
        async with self.peer(user) as peer:
            await peer.hello(**hello)
            yield peer

    async def ask(self, text: str, user: str = "ada", **fields: Any) -> JSON:
        """Send a message and wait for its run's end; what `accepted` said."""
        async with self.tab(user, cursor=0) as tab:
            tab.put(type="send", id=f"ask-{time.monotonic_ns()}", text=text, **fields)
            accepted = await tab.answer("accepted")
            await tab.event("agent_completed", accepted["run_id"])
        return accepted


@asynccontextmanager
async def site(
    *,
    auth: Authenticator | None = None,
    disk: Disk | None = None,
    limits: Limits | None = None,
    **settings: Any,
) -> AsyncGenerator[Site]:
    """A running server over a store in memory."""
    store = SwitchedStore(MemoryStore(disk))
    host = EngineHost(
        store,  # type: ignore[arg-type]
        AgentRegistry(_agents(lambda: opened)),
        limits=limits or Limits(coalesce_seconds=0.001),
        observer=Counting(),
    )
    server = build_asgi(
        host,
        auth or SecretTokens(SECRET),
        ServerSettings(**{"unavailable_seconds": 0.05, **settings}),
    )
    opened = Site(host, server, store)
    async with host.running():
        yield opened
        opened.gate.set()


def _agents(opened: Callable[[], Site]) -> list[Any]:
    @agent("echo", description="Says it again.")
    async def echo(run: RunContext, message: str) -> str | None:
        await run.think("Listening")
        await run.write("you said: ")
        await run.write(message)
        return None

    @agent("gated")
    async def gated(run: RunContext, message: str) -> str | None:
        await run.write("began ")
        await opened().gate.wait()
        await run.write("ended")
        return None

    @agent("asks")
    async def asks(run: RunContext, message: str) -> str | None:
        approval = await run.approve("May I?", arguments={"what": message})
        return f"approved: {bool(approval)}"

    return [echo, gated, asks]


class Peer:
    """The other end of one ASGI WebSocket connection; behaves as a server like uvicorn does."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        bearer: str | None = None,
        headers: dict[str, str] | None = None,
        subprotocols: tuple[str, ...] = ("goldenpath.v1",),
        path: str = "/v1/socket",
        root_path: str = "",
    ) -> None:
        given = {"host": "site", **(headers or {})}
        if bearer is not None:
            given["authorization"] = f"Bearer {bearer}"
        self.scope: Scope = {
            "type": "websocket",
            "asgi": {"version": "3.0"},
            "path": root_path + path,
            "root_path": root_path,
            "query_string": b"",
            "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
            "subprotocols": list(subprotocols),
            "extensions": {"websocket.http.response": {}},
        }
        self._app = app
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        self._taking = asyncio.Event()
        self._taking.set()
        self._task: asyncio.Task[None] | None = None
        self.subprotocol: str | None = None
        self.refusal: tuple[int, JSON] | None = None
        self.refusal_headers: dict[str, str] = {}
        self.cursor: int = 0
        self.mark: str = "0"
        self.events: list[JSON] = []
        self.other: list[JSON] = []
        """Frames that are no events, and that no wait has taken yet."""
        self.close_code: int | None = None
        self.last: JSON | None = None

    async def __aenter__(self) -> Peer:
        self._in.put_nowait({"type": "websocket.connect"})
        self._task = asyncio.create_task(self._run())
        first = await self._next()
        if first["type"] == "websocket.http.response.start":
            headers = {k.decode(): v.decode() for k, v in first["headers"]}
            body = await self._next()
            self.refusal, self.refusal_headers = (
                (first["status"], json.loads(body["body"])),
                headers,
            )
        elif first["type"] == "websocket.accept":
            self.subprotocol = first["subprotocol"]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        assert self._task is not None
        self._taking.set()
        async with asyncio.timeout(BOUND):
            await self._task

    async def _run(self) -> None:
        await self._app(self.scope, self._in.get, self._send)
        self._out.put_nowait({"type": "the application returned"})

    async def _send(self, message: Message) -> None:
        await self._taking.wait()
        if message["type"] == "websocket.close":
            self._in.put_nowait({"type": "websocket.disconnect", "code": message["code"]})
        self._out.put_nowait(message)

    async def _next(self) -> Message:
        async with asyncio.timeout(BOUND):
            return await self._out.get()

    def stall(self) -> None:
        """Read nothing from now on."""
        self._taking.clear()

    def resume(self) -> None:
        """Read again."""
        self._taking.set()

    def cut(self) -> None:
        """Lose the connection."""
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1006})

    def put(self, **frame: Any) -> None:
        """Send a frame."""
        self.put_text(json.dumps(frame))

    def put_text(self, text: str) -> None:
        """Send any text."""
        self._in.put_nowait({"type": "websocket.receive", "text": text})

    def put_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._in.put_nowait({"type": "websocket.receive", "bytes": data})

    async def hello(self, **fields: Any) -> JSON:
        """Say hello; the welcome."""
        self.put(**{"type": "hello", "device": "tab", "cursor": None, **fields})
        return await self.answer("welcome")

    async def frame(self) -> JSON | None:
        """The next frame, checked and applied if it is of events; None once it is closed."""
        message = await self._next()
        if message["type"] == "websocket.close":
            self.close_code = message["code"]
            return None
        assert message["type"] == "websocket.send", message
        frame: JSON = json.loads(message["text"])
        self.last = frame
        if frame["type"] == "welcome":
            self.cursor, self.mark = frame["cursor"], frame["mark"]
        if frame["type"] == "events":
            assert frame["from"] == self.cursor
            assert frame["to"] - frame["from"] == len(frame["events"]) + frame["hidden"]
            self.cursor, self.mark = frame["to"], frame["mark"]
            self.events += frame["events"]
        else:
            self.other.append(frame)
        return frame

    async def answer(self, *types: str) -> JSON:
        """The next frame of these types, which are no events."""
        while True:
            for frame in self.other:
                if frame["type"] in types:
                    self.other.remove(frame)
                    return frame
            assert await self.frame() is not None, f"closed ({self.close_code}) without {types}"

    async def event(self, type: str, run_id: str | None = None) -> JSON:
        """The first event like this, also of those that came before."""
        seen = 0
        while True:
            for event in self.events[seen:]:
                if event["type"] == type and run_id in (None, event["run_id"]):
                    return event
            seen = len(self.events)
            assert await self.frame() is not None, f"closed ({self.close_code}) without {type}"

    async def rest(self) -> list[Message]:
        """What the application sent after its close."""
        messages: list[Message] = []
        while (message := await self._next())["type"] != "the application returned":
            messages.append(message)
        return messages

    async def closed(self) -> int:
        """Read to the end; the close code."""
        while await self.frame() is not None:
            pass
        assert self.close_code is not None
        return self.close_code


class Stream:
    """A reader of `GET /v1/events` that speaks ASGI."""

    def __init__(self, app: ASGIApp, user: str = "ada", headers: JSON | None = None, **query: Any):
        given = {"host": "site", "authorization": f"Bearer {token(user)}", **(headers or {})}
        self.scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "method": "GET",
            "path": "/v1/events",
            "root_path": "",
            "query_string": urlencode(query).encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
        }
        self._app = app
        self._gone: asyncio.Queue[Message] = asyncio.Queue()
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None
        self.status = 0
        self.headers: dict[str, str] = {}
        self.ended = False

    async def __aenter__(self) -> Stream:
        self._task = asyncio.create_task(self._run())
        async with asyncio.timeout(BOUND):
            start = await self._out.get()
        self.status = start["status"]
        self.headers = {k.decode(): v.decode() for k, v in start["headers"]}
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.put_nowait({"type": "http.disconnect"})
        assert self._task is not None
        async with asyncio.timeout(BOUND):
            await self._task

    async def _run(self) -> None:
        await self._app(self.scope, self._gone.get, self._put)

    async def _put(self, message: Message) -> None:
        self._out.put_nowait(message)

    async def block(self) -> bytes:
        """The next piece of the body."""
        async with asyncio.timeout(BOUND):
            message = await self._out.get()
        self.ended = not message.get("more_body", False)
        return message["body"]

    async def frame(self) -> tuple[str, JSON]:
        """The next block's id and frame; its bytes must be framed exactly."""
        block = (await self.block()).decode()
        first, second, *rest = block.split("\n")
        assert rest == ["", ""], block
        assert first.startswith("id: "), block
        assert second.startswith("data: "), block
        return first.removeprefix("id: "), json.loads(second.removeprefix("data: "))

    async def until(self, type: str) -> tuple[str, JSON]:
        """The first frame of this type, or with an event of it."""
        while True:
            position, frame = await self.frame()
            if frame["type"] == type or any(e["type"] == type for e in frame.get("events", ())):
                return position, frame


def position_of(peer: Peer) -> Position:
    """Where a peer has read to."""
    return Position(peer.mark, peer.cursor)  # type: ignore[arg-type]
