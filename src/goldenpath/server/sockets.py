"""The open sockets of this process, by user, and how a request becomes one of them."""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from goldenpath.errors import RefusedError
from goldenpath.model.ids import UserId
from goldenpath.server.auth import PROTOCOL, origin_allowed
from goldenpath.server.problems import problem
from goldenpath.server.service import Service
from goldenpath.server.socket import Socket
from goldenpath.wire import native

_GOODBYE_SECONDS = 2.0
"""What readers get to take their goodbye; one that reads nothing is not waited for."""


class Sockets:
    """ASGI application of `GET /v1/socket`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: dict[UserId, list[Socket]] = {}
        self._count = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        await receive()  # websocket.connect
        try:
            if not origin_allowed(connection, self._service.settings.allow_origins):
                raise RefusedError("forbidden", "This origin may not open a socket here.")
            principal = await self._service.auth.authenticate(connection)
            self._service.check_accepting()
        except RefusedError as error:
            await refuse_upgrade(scope, send, error)
            return
        offered = scope.get("subprotocols", ())
        subprotocol = PROTOCOL if PROTOCOL in offered else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        socket = Socket(self._service, principal, receive, send)
        self._add(socket)
        try:
            await socket.serve()
        finally:
            self._remove(socket)

    def _add(self, socket: Socket) -> None:
        """Take a socket; the user's oldest goes when there are too many."""
        mine = self._open.setdefault(socket.user, [])
        mine.append(socket)
        self._counted(+1)
        staying = [one for one in mine if not one.leaving]
        if len(staying) > self._service.host.limits.sockets_per_user:
            staying[0].leave(native.TOO_MANY_SOCKETS, "too_many_sockets", retry=False)

    def _remove(self, socket: Socket) -> None:
        mine = self._open[socket.user]
        mine.remove(socket)
        if not mine:
            del self._open[socket.user]
        self._counted(-1)

    def _counted(self, change: int) -> None:
        self._count += change
        self._service.host.observer.sockets(self._count)

    async def goodbye(self) -> None:
        """Tell every reader that this server goes away."""
        leaving = [
            socket.leave(native.GOING_AWAY, "shutting_down", retry=True)
            for mine in self._open.values()
            for socket in mine
            if not socket.leaving
        ]
        if leaving:
            await asyncio.wait(leaving, timeout=_GOODBYE_SECONDS)


async def refuse_upgrade(scope: Scope, send: Send, error: RefusedError) -> None:
    """Refuse before the upgrade, as a plain HTTP answer."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    answer = problem(error)
    start = {"status": answer.status_code, "headers": answer.raw_headers}
    await send({"type": "websocket.http.response.start", **start})
    await send({"type": "websocket.http.response.body", "body": answer.body})
