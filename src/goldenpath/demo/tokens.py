"""`POST /demo/token`: how a browser on this machine, or `goldenpath chat`, becomes a user.

Only for loopback peers. `Host` is checked, so that a page of another site cannot reach it by a
name that it pointed at this machine, and `Origin`, so that no other page may ask.
"""

from __future__ import annotations

import ipaddress
import re
import time
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from goldenpath.compose.tokens import mint
from goldenpath.config import Settings
from goldenpath.engine.ports import SystemIds
from goldenpath.errors import InvalidError
from goldenpath.server.calls import decode_body
from goldenpath.server.problems import STATUS

CHAT_USER = "chat"
"""The one kept user of `goldenpath chat`."""
TOKEN_SECONDS = 12 * 3600.0
_MOST_BYTES = 1024
_HOST = re.compile(r"(\[[^\]]*\]|[^:]+)(?::(\d+))?")


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    client: str | None = None


def token_route(settings: Settings, *, balancer: int | None = None) -> Route:
    """Make the route for a demo server of these settings; `balancer` is a port before it."""
    ids = SystemIds()

    async def give_token(request: Request) -> JSONResponse:
        if not _is_local(request, balancer):
            return _refused(403, "forbidden", "Demo tokens are given to this machine only.")
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BYTES:
                return _refused(413, "too_large", f"The body may have {_MOST_BYTES} bytes.")
        try:
            asked = decode_body(body or b"{}", _Body)
        except InvalidError as error:
            return _refused(STATUS[error.code], error.code, error.message)
        if asked.client not in (None, "chat"):
            return _refused(422, "invalid_field", "client: give chat, or leave it out.")
        user = CHAT_USER if asked.client == "chat" else f"visitor-{ids.new()}"
        token = mint(settings, user, int(time.time()), TOKEN_SECONDS)
        return JSONResponse(
            {"token": token, "user_id": user}, headers={"Cache-Control": "no-store"}
        )

    return Route("/demo/token", give_token, methods=["POST"])


def _is_local(request: Request, balancer: int | None) -> bool:
    """A loopback peer that asked for this machine by a loopback name, from a page of ours."""
    if request.client is None or not _is_loopback(request.client.host):
        return False
    host = request.headers.get("host", "")
    match = _HOST.fullmatch(host)
    served = request.scope.get("server")
    if match is None or not _is_loopback(match[1]):
        return False
    if match[2] and served and match[2] not in (str(served[1]), str(balancer)):
        return False
    origin = request.headers.get("origin")
    return origin is None or origin == f"http://{host}"


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def _refused(status: int, code: str, message: str) -> JSONResponse:
    problem: dict[str, Any] = {
        "type": "about:blank",
        "status": status,
        "code": code,
        "message": message,
        "retryable": False,
    }
    return JSONResponse(problem, status, media_type="application/problem+json")
