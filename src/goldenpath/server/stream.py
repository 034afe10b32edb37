"""Server-Sent Events on raw ASGI: the same frames as the socket's, for readers that only read."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from goldenpath.errors import InvalidError, PositionError, RefusedError, StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.server.auth import Principal
from goldenpath.server.delivery import Pump, StoreGoneError, has_terminal, patiently
from goldenpath.server.problems import problem
from goldenpath.server.socket import SocketEndpoint
from goldenpath.store.interface import Batch, Position
from goldenpath.wire.frames import Goodbye, Welcome, encode_batch, encode_frame
from goldenpath.wire.sse import encode_block, parse_position

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class StreamEndpoint:
    """ASGI application of `GET /v1/events`; shares the socket endpoint's host and settings."""

    def __init__(self, endpoint: SocketEndpoint) -> None:
        self._endpoint = endpoint
        self._streams: dict[asyncio.Task[None], UserId] = {}
        self._leaving = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        try:
            principal = await self._endpoint.auth.authenticate(connection)
            position = _position(scope, connection)
            if sum(u == principal.user for u in self._streams.values()) >= (
                self._endpoint.host.limits.sockets_per_user
            ):
                raise RefusedError("rate_limited", "Too many streams are open.", retryable=True)
        except RefusedError as error:
            await problem(error)(scope, receive, send)
            return
        stream = asyncio.create_task(self._stream(principal, position, send))
        gone = asyncio.create_task(_disconnected(receive))
        self._streams[stream] = principal.user
        try:
            await asyncio.wait({stream, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._streams[stream]
            for task in (stream, gone):
                task.cancel()
            await asyncio.gather(stream, gone, return_exceptions=True)

    async def _stream(self, principal: Principal, asked: Position | None, send: Send) -> None:
        endpoint, user = self._endpoint, principal.user
        store, patience = endpoint.host.store, endpoint.settings.unavailable_seconds
        reset = False
        started = False
        position = asked
        try:
            head = await patiently(lambda: store.head(user), patience)
            position = head if asked is None else asked
            try:
                await patiently(lambda: store.read(user, position, 1), patience)  # type: ignore[arg-type]
            except PositionError:
                reset, position = True, head
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
            started = True
            welcome = Welcome(
                user_id=user,
                mark=position.mark,
                head=max(head.cursor, position.cursor),
                cursor=position.cursor,
                reset=reset,
                limits=endpoint.limits,
                agents=endpoint.agents,
                version=endpoint.version,
            )
            await _send_block(send, encode_frame(welcome).encode(), position)
            pump = Pump(
                store,
                user,
                position,
                lambda batch: self._write(user, batch, send),
                observer=endpoint.host.observer,
                unavailable_seconds=patience,
            )
            seconds = None if principal.expires is None else principal.expires - time.time()
            async with asyncio.timeout(seconds):
                await pump.run()
        except TimeoutError:
            await self._goodbye(send, "token_ended", "The token has ended.")
        except PositionError:
            await self._goodbye(send, "reset", "The log is another one.")
        except StoreGoneError:
            if started:
                await self._goodbye(send, "unavailable", "The store is away.")
            else:
                await _unavailable(send)
        except OSError:
            return
        except asyncio.CancelledError:
            if self._leaving and started:
                await self._goodbye(send, "shutting_down", "This server is shutting down.")
            raise

    async def _write(self, user: UserId, batch: Batch, send: Send) -> None:
        position = Position(batch.mark, batch.to)
        await _send_block(send, encode_batch(batch), position)
        if batch.events and has_terminal(batch):
            # This reader cannot acknowledge: what it was given to its end counts as fetched.
            try:
                await self._endpoint.host.store.acknowledge(user, None, position)
                self._endpoint.host.observer.answer_delivered()
            except (StoreUnavailableError, PositionError):
                return

    @staticmethod
    async def _goodbye(send: Send, code: str, reason: str) -> None:
        frame = encode_frame(Goodbye(code=code, reason=reason, retry=True)).encode()
        await send({"type": "http.response.body", "body": b"data: %s\n\n" % frame})

    async def goodbye(self) -> None:
        """End every stream: its reader comes again with its last id."""
        self._leaving = True
        for stream in list(self._streams):
            stream.cancel()


async def _send_block(send: Send, frame: bytes, position: Position) -> None:
    body = encode_block(frame, position)
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _unavailable(send: Send) -> None:
    error = RefusedError("unavailable", "The store does not answer.", retryable=True)
    answer = problem(error)
    await send(
        {"type": "http.response.start", "status": answer.status_code, "headers": answer.raw_headers}
    )
    await send({"type": "http.response.body", "body": answer.body})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _position(scope: Scope, connection: HTTPConnection) -> Position | None:
    query = parse_qs(scope.get("query_string", b"").decode("ascii", "replace"))
    unknown = set(query) - {"after", "mark"}
    if unknown:
        raise InvalidError(f"{sorted(unknown)[0][:40]}: there is no such parameter")
    return parse_position(
        connection.headers.get("last-event-id"),
        query.get("after", [None])[0],
        query.get("mark", [None])[0],
    )
