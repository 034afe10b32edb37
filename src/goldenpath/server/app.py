"""The ASGI application: raw socket and stream, the HTTP table, health, documents."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Message, Receive, Scope, Send

from goldenpath.engine.host import EngineHost
from goldenpath.errors import RefusedError
from goldenpath.server.auth import Authenticator
from goldenpath.server.http import Api
from goldenpath.server.openapi import docs_page, openapi
from goldenpath.server.problems import problem
from goldenpath.server.settings import ServerSettings
from goldenpath.server.socket import SocketEndpoint
from goldenpath.server.stream import StreamEndpoint

_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]


def software_version() -> str:
    """The installed version of this software."""
    try:
        return version("goldenpath")
    except PackageNotFoundError:
        return "0"


class Server:
    """ASGI application; `goodbye` ends its readers politely."""

    def __init__(
        self,
        host: EngineHost,
        auth: Authenticator,
        settings: ServerSettings,
        extra_routes: Sequence[BaseRoute] = (),
    ) -> None:
        self._host = host
        self._socket = SocketEndpoint(host, auth, settings, software_version())
        self._stream = StreamEndpoint(self._socket)
        api = Api(host, auth, settings, self._socket)
        document = openapi(api.operations, software_version())
        encoded, page = msgspec.json.encode(document), docs_page(document)

        async def openapi_json(_: Request) -> Response:
            return Response(encoded, media_type="application/json")

        async def docs(_: Request) -> Response:
            return HTMLResponse(page)

        self._http = Starlette(
            routes=[
                *api.routes(),
                Route("/healthz", self._healthz),
                Route("/readyz", self._readyz),
                Route("/openapi.json", openapi_json),
                Route("/docs", docs),
                *extra_routes,
            ],
            exception_handlers={HTTPException: _http_error},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = _local_path(scope)
        if scope["type"] == "websocket":
            if path == "/v1/socket":
                await self._socket(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] == "http" and path == "/v1/events" and scope["method"] == "GET":
            await self._stream(scope, receive, send)
        else:
            await self._http(scope, receive, _with_headers(send))

    async def goodbye(self) -> None:
        """Tell every reader that this server goes away."""
        await self._socket.sockets.goodbye()
        await self._stream.goodbye()

    async def _healthz(self, _: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _readyz(self, _: Request) -> Response:
        status = self._host.store.status()
        if self._host.accepting and status.writable:
            return PlainTextResponse("ready\n")
        reason = status.reason if self._host.accepting else "shutting down"
        return PlainTextResponse(f"{reason or 'not ready'}\n", 503)


def build_asgi(
    host: EngineHost,
    auth: Authenticator,
    settings: ServerSettings,
    extra_routes: Sequence[BaseRoute] = (),
) -> Server:
    """Join a host, a way to know users and further routes to one ASGI application."""
    return Server(host, auth, settings, extra_routes)


def _local_path(scope: Scope) -> str:
    """The path below where we are mounted."""
    path, root = scope.get("path", ""), scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(RefusedError("not_found", "There is no such thing."))
    response = problem(RefusedError("invalid_field", str(error.detail)))
    response.status_code = error.status_code
    for name, value in (error.headers or {}).items():
        response.headers[name] = value
    return response


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_SECURITY]
        await send(message)

    return sending
