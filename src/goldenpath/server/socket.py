"""The WebSocket on raw ASGI: a thin shell around wire.native, with one pump beside it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any

import msgspec
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from goldenpath.engine.host import EngineHost, Settled
from goldenpath.errors import PositionError, RefusedError, StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.server.auth import PROTOCOL, Authenticator, Principal, origin_allowed
from goldenpath.server.delivery import Pump, StoreGoneError, has_terminal, patiently
from goldenpath.server.problems import MEDIA_TYPE, problem_body
from goldenpath.server.settings import ServerSettings
from goldenpath.store.interface import Batch, Position
from goldenpath.wire import native
from goldenpath.wire.frames import (
    AgentInfo,
    AnyServerFrame,
    Goodbye,
    Renewed,
    Welcome,
    encode_batch,
    encode_frame,
)

_PIPELINE = 64
"""Commands of one socket that may be on their way at once."""
_HELLO_SECONDS = 10.0


class Sockets:
    """The open sockets of this process, by user."""

    def __init__(self, host: EngineHost, settings: ServerSettings) -> None:
        self._most = host.limits.sockets_per_user
        self._observer = host.observer
        self._open: dict[UserId, list[Socket]] = {}
        self.count = 0

    async def add(self, socket: Socket) -> None:
        """Take a socket; the user's oldest goes when there are too many."""
        mine = self._open.setdefault(socket.user, [])
        mine.append(socket)
        self.count += 1
        self._observer.sockets(self.count)
        if len(mine) > self._most:
            oldest = mine[0]
            await oldest.leave(native.TOO_MANY_SOCKETS, "too_many_sockets", retry=False)

    def remove(self, socket: Socket) -> None:
        mine = self._open.get(socket.user, [])
        if socket in mine:
            mine.remove(socket)
            self.count -= 1
            self._observer.sockets(self.count)
        if not mine:
            self._open.pop(socket.user, None)

    async def goodbye(self) -> None:
        """Tell every reader that this server goes away."""
        for mine in list(self._open.values()):
            for socket in list(mine):
                await socket.leave(native.GOING_AWAY, "shutting_down", retry=True)

    async def end_user(self, user: UserId) -> None:
        """The user was erased: nothing is left to read."""
        for socket in list(self._open.get(user, [])):
            await socket.leave(native.GOING_AWAY, "reset", retry=True)


class SocketEndpoint:
    """ASGI application of `GET /v1/socket`."""

    def __init__(
        self, host: EngineHost, auth: Authenticator, settings: ServerSettings, version: str
    ) -> None:
        self.host = host
        self.auth = auth
        self.settings = settings
        self.sockets = Sockets(host, settings)
        self.limits: dict[str, int | float] = msgspec.to_builtins(host.limits)
        self.agents = [
            AgentInfo(name=a.name, description=a.description, version=a.version)
            for a in host.agents
        ]
        self.version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        await receive()  # websocket.connect
        try:
            if not origin_allowed(connection, self.settings.allow_origins):
                raise RefusedError("forbidden", "This origin may not open a socket here.")
            principal = await self.auth.authenticate(connection)
            if not self.host.accepting:
                raise RefusedError("unavailable", "This server is shutting down.", retryable=True)
        except RefusedError as error:
            await _refuse_upgrade(scope, send, error)
            return
        offered = scope.get("subprotocols", ())
        await send(
            {
                "type": "websocket.accept",
                "subprotocol": PROTOCOL if PROTOCOL in offered else None,
            }
        )
        await Socket(self, principal, receive, send).serve()


async def _refuse_upgrade(scope: Scope, send: Send, error: RefusedError) -> None:
    """Refuse before the upgrade, as a plain HTTP answer."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    status, body = problem_body(error)
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
    ]
    await send(
        {"type": "websocket.http.response.start", "status": status, "headers": headers}
    )
    await send({"type": "websocket.http.response.body", "body": body})


class Socket:
    """One open socket."""

    __slots__ = (
        "_acked",
        "_answering",
        "_answers",
        "_closed",
        "_endpoint",
        "_expiry",
        "_frames",
        "_frames_since",
        "_last_ack",
        "_leaving",
        "_pending_ack",
        "_pump",
        "_receive",
        "_room",
        "_send",
        "_session",
        "_tasks",
        "_terminal",
        "principal",
    )

    def __init__(
        self, endpoint: SocketEndpoint, principal: Principal, receive: Receive, send: Send
    ) -> None:
        self.principal = principal
        self._endpoint = endpoint
        self._receive = receive
        self._send = send
        self._session = native.NativeSession()
        self._pump: asyncio.Task[None] | None = None
        self._answers: deque[asyncio.Task[AnyServerFrame]] = deque()
        self._answering = False
        self._room: asyncio.Future[None] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False
        self._leaving = False
        self._expiry: asyncio.TimerHandle | None = None
        self._frames = 0
        self._frames_since = 0.0
        self._last_ack = 0.0
        self._pending_ack: Position | None = None
        self._acked = 0
        self._terminal = 0

    @property
    def user(self) -> UserId:
        return self.principal.user

    async def serve(self) -> None:
        """Serve until either side closes."""
        loop = asyncio.get_running_loop()
        await self._endpoint.sockets.add(self)
        self._arm_expiry()
        hello = loop.call_later(_HELLO_SECONDS, self._no_hello)
        try:
            while not self._closed:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    self._closed = True
                    break
                if not self._within_rate():
                    await self.leave(native.TOO_MANY_FRAMES, "too_many_frames", retry=True)
                    break
                await self._take(message)
        finally:
            hello.cancel()
            self._closed = True
            if self._expiry is not None:
                self._expiry.cancel()
            self._endpoint.sockets.remove(self)
            ended = [t for t in (self._pump, *self._tasks, *self._answers) if t is not None]
            for task in ended:
                task.cancel()
            if ended:
                await asyncio.gather(*ended, return_exceptions=True)
            await self._write_ack()

    def _within_rate(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._frames_since > 60:
            self._frames, self._frames_since = 0, now
        self._frames += 1
        return self._frames <= self._endpoint.settings.frames_per_minute

    async def _take(self, message: Any) -> None:
        text = message.get("text")
        if text is None:
            error = RefusedError("invalid_json", "Frames are text, not binary.")
            if self._session.device is None:
                await self._close(native.BAD_HELLO, "the first frame is hello")
            else:
                await self._write(native.refused(None, error))
            return
        action = self._session.receive(text)
        match action:
            case native.Submit():
                await self._submit(action)
            case native.Acknowledge():
                await self._acknowledge(action.position)
            case native.Reply():
                await self._write(action.frame)
            case native.Start():
                await self._start(action)
            case native.Reauthenticate():
                await self._renew(action.token)
            case native.Close():
                await self._close(action.code, action.reason)

    # -- reading -----------------------------------------------------------------------------

    async def _start(self, start: native.Start) -> None:
        store = self._endpoint.host.store
        patience = self._endpoint.settings.unavailable_seconds
        reset = False
        try:
            head = await patiently(lambda: store.head(self.user), patience)
            position = head if start.position is None else start.position
            try:
                await patiently(lambda: store.read(self.user, position, 1), patience)
            except PositionError:
                reset, position = True, head
        except StoreGoneError:
            await self.leave(native.GOING_AWAY, "unavailable", retry=True)
            return
        self._session.sent(position)
        await self._write(
            Welcome(
                user_id=self.user,
                mark=position.mark,
                head=max(head.cursor, position.cursor),
                cursor=position.cursor,
                reset=reset,
                limits=self._endpoint.limits,
                agents=self._endpoint.agents,
                version=self._endpoint.version,
            )
        )
        self._pump = asyncio.create_task(self._deliver(position))

    async def _deliver(self, position: Position) -> None:
        host = self._endpoint.host
        pump = Pump(
            host.store,
            self.user,
            position,
            self._write_batch,
            observer=host.observer,
            unavailable_seconds=self._endpoint.settings.unavailable_seconds,
        )
        try:
            await pump.run()
        except PositionError:
            await self.leave(native.GOING_AWAY, "reset", retry=True)
        except StoreGoneError:
            await self.leave(native.GOING_AWAY, "unavailable", retry=True)
        except OSError:
            self._closed = True  # the connection broke while we wrote

    async def _write_batch(self, batch: Batch) -> None:
        await self._send({"type": "websocket.send", "text": encode_batch(batch).decode()})
        self._session.sent(Position(batch.mark, batch.to))
        if batch.events and has_terminal(batch):
            self._terminal = batch.to

    # -- commands ----------------------------------------------------------------------------

    async def _submit(self, submit: native.Submit) -> None:
        """Begin a command; answers are written in the order of the commands."""
        while len(self._answers) >= _PIPELINE and not self._closed:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        task = asyncio.create_task(self._answer(submit))
        self._answers.append(task)
        task.add_done_callback(self._answered)

    async def _answer(self, submit: native.Submit) -> AnyServerFrame:
        try:
            settled: Settled = await self._endpoint.host.submit(
                self.user, submit.command_id, submit.command
            )
        except RefusedError as error:
            return native.refused(submit.command_id, error)
        return native.accepted(settled.receipt, duplicate=settled.duplicate)

    def _answered(self, _task: asyncio.Task[AnyServerFrame]) -> None:
        if not self._answering and self._answers and self._answers[0].done():
            self._answering = True
            self._spawn(self._write_answers())

    async def _write_answers(self) -> None:
        try:
            while self._answers and self._answers[0].done():
                task = self._answers.popleft()
                if self._room is not None and not self._room.done():
                    self._room.set_result(None)
                if not task.cancelled():
                    await self._write(task.result())
        finally:
            self._answering = False

    # -- receipts of delivery ----------------------------------------------------------------

    async def _acknowledge(self, position: Position) -> None:
        """Write an acknowledgement: at once for a terminal, else every few seconds."""
        if position.cursor <= self._acked:
            return
        self._pending_ack = position
        now = asyncio.get_running_loop().time()
        terminal = self._acked < self._terminal <= position.cursor
        if terminal or now - self._last_ack >= self._endpoint.settings.ack_seconds:
            self._last_ack = now
            self._spawn(self._write_ack())

    async def _write_ack(self) -> None:
        position, self._pending_ack = self._pending_ack, None
        if position is None:
            return
        try:
            host = self._endpoint.host
            await host.store.acknowledge(self.user, self._session.device, position)
            if self._acked < self._terminal <= position.cursor:
                host.observer.answer_delivered()
            self._acked = max(self._acked, position.cursor)
        except (StoreUnavailableError, PositionError):
            return  # a receipt is not worth a socket; the next one says it too

    # -- tokens ------------------------------------------------------------------------------

    async def _renew(self, token: str) -> None:
        try:
            principal = await self._endpoint.auth.renew(token)
        except RefusedError as error:
            await self._write(native.refused(None, error))
            return
        if principal.user != self.user:
            error = RefusedError("forbidden", "This token is another user's.")
            await self._write(native.refused(None, error))
            return
        self.principal = principal
        self._arm_expiry()
        await self._write(Renewed())

    def _arm_expiry(self) -> None:
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self.principal.expires is not None:
            loop = asyncio.get_running_loop()
            seconds = max(self.principal.expires - time.time(), 0.0)
            self._expiry = loop.call_later(min(seconds, 86_400.0), self._expired)

    def _expired(self) -> None:
        if self.principal.expires is not None and self.principal.expires > time.time():
            self._arm_expiry()
        else:
            self._spawn(self.leave(native.TOKEN_ENDED, "token_ended", retry=True))

    # -- ends --------------------------------------------------------------------------------

    def _no_hello(self) -> None:
        if self._session.device is None:
            self._spawn(self._close(native.BAD_HELLO, "no hello came"))

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, frame: AnyServerFrame) -> None:
        if not self._closed:
            await self._send({"type": "websocket.send", "text": encode_frame(frame)})

    async def leave(self, code: int, reason: str, *, retry: bool) -> None:
        """Say goodbye and close."""
        if self._closed or self._leaving:
            return
        self._leaving = True
        await self._write(Goodbye(code=reason, reason=_REASONS[reason], retry=retry))
        await self._close(code, reason)

    async def _close(self, code: int, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        if self._pump is not None and self._pump is not asyncio.current_task():
            self._pump.cancel()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        await self._send({"type": "websocket.close", "code": code, "reason": reason})


_REASONS: dict[str, str] = {
    "shutting_down": "This server is shutting down; connect again.",
    "reset": "The log is not the one that was read; say hello again.",
    "unavailable": "The store does not answer; connect again.",
    "token_ended": "The token has ended; connect with a fresh one.",
    "too_many_sockets": "This user has opened too many sockets; this was the oldest.",
    "too_many_frames": "Too many frames; slow down.",
}
