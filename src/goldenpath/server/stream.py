"""Server-Sent Events on raw ASGI: the same frames as the socket's, for readers that only read."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from urllib.parse import parse_qs

from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from goldenpath.errors import InvalidError, PositionError, RefusedError, StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.server.auth import Principal
from goldenpath.server.delivery import Opening, Pump, StoreGoneError, has_terminal, opening
from goldenpath.server.problems import problem
from goldenpath.server.service import Service
from goldenpath.server.socket import REASONS
from goldenpath.store.interface import Batch, Position
from goldenpath.wire.frames import Goodbye, Welcome, encode_batch, encode_frame
from goldenpath.wire.sse import encode_block, parse_position

logger = logging.getLogger(__name__)

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
]
_GOODBYE_SECONDS = 2.0


class Streams:
    """ASGI application of `GET /v1/events`."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._open: dict[asyncio.Task[None], UserId] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = HTTPConnection(scope)
        try:
            principal = await self._service.auth.authenticate(connection)
            asked = _position(scope, connection)
            self._service.check_accepting()
            self._check_room(principal.user)
            opened = await self._opening(principal.user, asked)
        except RefusedError as error:
            await problem(error)(scope, receive, send)
            return
        stream = asyncio.create_task(_Stream(self._service, principal, send).run(opened))
        gone = asyncio.create_task(_disconnected(receive))
        self._open[stream] = principal.user
        try:
            await asyncio.wait({stream, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._open[stream]
            for task in (stream, gone):
                task.cancel()
            await asyncio.wait({stream, gone})

    def _check_room(self, user: UserId) -> None:
        mine = sum(one == user for one in self._open.values())
        if mine >= self._service.host.limits.sockets_per_user:
            raise RefusedError("rate_limited", "Too many streams are open.", retryable=True)

    async def _opening(self, user: UserId, asked: Position | None) -> Opening:
        patience = self._service.settings.unavailable_seconds
        try:
            return await opening(self._service.store, user, asked, patience)
        except StoreGoneError:
            message = "The store does not answer."
            raise RefusedError("unavailable", message, retryable=True) from None

    async def goodbye(self) -> None:
        """End every stream: its reader comes again with its last id."""
        streams = list(self._open)
        for stream in streams:
            stream.cancel("shutting_down")
        if streams:
            await asyncio.wait(streams, timeout=_GOODBYE_SECONDS)


class _Stream:
    """One reader, until its token ends, the server goes, or the log is another."""

    def __init__(self, service: Service, principal: Principal, send: Send) -> None:
        self._service = service
        self._principal = principal
        self._send = send
        self._position: Position | None = None

    async def run(self, opened: Opening) -> None:
        """Send the stream, from the status line to its goodbye."""
        try:
            reason = await self._follow(opened)
            await self._goodbye(reason)
        except OSError:
            return  # the connection broke while we wrote
        except asyncio.CancelledError as error:
            if error.args == ("shutting_down",):
                with suppress(OSError):  # TimeoutError is one
                    async with asyncio.timeout(_GOODBYE_SECONDS):
                        await self._goodbye("shutting_down")
            raise

    async def _follow(self, opened: Opening) -> str:
        """Deliver; tell why that ended."""
        service, principal = self._service, self._principal
        position = opened.position
        await self._send({"type": "http.response.start", "status": 200, "headers": list(_HEADERS)})
        welcome = Welcome(
            user_id=principal.user,
            mark=position.mark,
            head=opened.head,
            cursor=position.cursor,
            reset=opened.reset,
            limits=service.limits,
            agents=service.agents,
            version=service.version,
        )
        await self._block(encode_frame(welcome).encode(), position)
        pump = Pump(
            service.store,
            principal.user,
            position,
            self._write,
            observer=service.host.observer,
            unavailable_seconds=service.settings.unavailable_seconds,
        )
        ends = principal.expires
        try:
            async with asyncio.timeout(None if ends is None else ends - time.time()):
                await pump.run()
        except TimeoutError:
            return "token_ended"
        except PositionError:
            return "reset"
        except StoreGoneError:
            return "unavailable"
        except OSError:
            raise
        except Exception:
            logger.exception("a reader's pump failed")
        return "unavailable"

    async def _write(self, batch: Batch) -> None:
        position = Position(batch.mark, batch.to)
        await self._block(encode_batch(batch), position)
        if has_terminal(batch):
            # This reader cannot acknowledge: what it was given to its end counts as fetched.
            try:
                await self._service.store.acknowledge(self._principal.user, None, position)
                self._service.host.observer.answer_delivered()
            except (StoreUnavailableError, PositionError):
                return

    async def _block(self, frame: bytes, position: Position, *, more: bool = True) -> None:
        body = encode_block(frame, position)
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self._position = position

    async def _goodbye(self, reason: str) -> None:
        if self._position is not None:
            frame = Goodbye(code=reason, reason=REASONS[reason], retry=True)
            await self._block(encode_frame(frame).encode(), self._position, more=False)


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
