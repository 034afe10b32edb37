"""The ASGI application: raw socket and stream, the HTTP table, health, documents."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from goldenpath.engine.host import EngineHost
from goldenpath.errors import RefusedError
from goldenpath.server.auth import Authenticator
from goldenpath.server.calls import IDEMPOTENCY_KEY, not_found, route
from goldenpath.server.openapi import docs_page, openapi
from goldenpath.server.problems import problem
from goldenpath.server.service import Service
from goldenpath.server.settings import ServerSettings
from goldenpath.server.sockets import Sockets, refuse_upgrade
from goldenpath.server.stream import Streams
from goldenpath.server.table import OPERATIONS

logger = logging.getLogger(__name__)

_SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
]
_DOCS_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


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
        service = Service(host, auth, settings, software_version())
        self._sockets = Sockets(service)
        self._streams = Streams(service)
        self._starlette = Starlette(
            routes=[
                *(route(service, operation) for operation in OPERATIONS),
                Route("/healthz", _healthz),
                Route("/readyz", self._readyz),
                *_documents(service.version),
                *extra_routes,
            ],
            exception_handlers={HTTPException: _http_error, Exception: _failed},
        )
        self._starlette.router.redirect_slashes = False
        self._http: ASGIApp = _shared(self._serve_http, settings.allow_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            if _local_path(scope) == "/v1/socket":
                await self._sockets(scope, receive, send)
            else:
                await receive()
                await refuse_upgrade(scope, send, not_found())
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._starlette(scope, receive, send)

    async def _serve_http(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "GET" and _local_path(scope) == "/v1/events":
            await self._streams(scope, receive, send)
        else:
            await self._starlette(scope, receive, _with_headers(send))

    async def goodbye(self) -> None:
        """Tell every reader that this server goes away."""
        await self._sockets.goodbye()
        await self._streams.goodbye()

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


async def _healthz(_: Request) -> Response:
    return PlainTextResponse("alive\n")


def _documents(software: str) -> list[Route]:
    document = openapi(OPERATIONS, software)
    encoded, page = msgspec.json.encode(document), docs_page(document)

    async def openapi_json(_: Request) -> Response:
        return Response(encoded, media_type="application/json")

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _DOCS_POLICY})

    return [Route("/openapi.json", openapi_json), Route("/docs", docs)]


def _local_path(scope: Scope) -> str:
    """The path below where we are mounted."""
    path, root = scope.get("path", ""), scope.get("root_path", "").rstrip("/")
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def _shared(app: ASGIApp, origins: tuple[str, ...]) -> ASGIApp:
    """Let pages of the allowed origins read answers; without any, only our own pages can."""
    if not origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=origins,
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", IDEMPOTENCY_KEY, "Last-Event-ID"],
        allow_credentials="*" not in origins,
        expose_headers=[IDEMPOTENCY_KEY],
    )


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return problem(not_found())
    refusal = RefusedError("invalid_field", f"{error.detail}.")
    return problem(refusal, status=error.status_code, headers=error.headers)


async def _failed(_: Request, error: Exception) -> Response:
    """A fault of ours: the server's log has it, the client hears that it may try again."""
    refusal = RefusedError("unavailable", "Something went wrong here.", retryable=True)
    return problem(refusal, status=500)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_SECURITY]
        await send(message)

    return sending
