"""One open WebSocket on raw ASGI: a thin shell around wire.native, with one pump beside it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.types import Message, Receive, Send

from goldenpath.errors import PositionError, RefusedError
from goldenpath.model.ids import UserId
from goldenpath.server.answers import Answers
from goldenpath.server.auth import Principal
from goldenpath.server.delivery import Pump, StoreGoneError, has_terminal, opening
from goldenpath.server.receipts import Receipts
from goldenpath.server.service import Service
from goldenpath.store.interface import Batch, Position
from goldenpath.wire import native
from goldenpath.wire.frames import (
    AnyServerFrame,
    Goodbye,
    Renewed,
    Welcome,
    encode_batch,
    encode_frame,
)

logger = logging.getLogger(__name__)

_HELLO_SECONDS = 10.0
_LEAVE_SECONDS = 10.0
"""What a peer gets to take our goodbye, before we stop to wait for it."""
_DAY = 86_400.0


class Socket:
    """One open socket: its receive loop, and once it said hello its pump."""

    __slots__ = (
        "_answers",
        "_closed",
        "_expiry",
        "_frames",
        "_frames_since",
        "_pump",
        "_receipts",
        "_receive",
        "_send",
        "_service",
        "_serving",
        "_session",
        "_tasks",
        "leaving",
        "principal",
    )

    def __init__(
        self, service: Service, principal: Principal, receive: Receive, send: Send
    ) -> None:
        self.principal = principal
        self.leaving = False
        """True once its goodbye is on its way, or its close."""
        self._service = service
        self._receive = receive
        self._send = send
        self._session = native.NativeSession()
        self._serving: asyncio.Task[Any] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._answers = Answers(service.host, principal.user, self._write)
        self._receipts = Receipts(service, principal.user)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self._expiry: asyncio.TimerHandle | None = None
        self._frames = 0
        self._frames_since = 0.0

    @property
    def user(self) -> UserId:
        """Whose log it reads."""
        return self.principal.user

    async def serve(self) -> None:
        """Serve until either side closes."""
        self._serving = asyncio.current_task()
        self._arm_expiry()
        hello = asyncio.get_running_loop().call_later(_HELLO_SECONDS, self._no_hello)
        try:
            while not self._closed:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    break
                if not self.leaving:
                    await self._take(message)
        except OSError:
            pass  # the connection broke while we wrote
        except asyncio.CancelledError:
            if not self._closed:
                raise
        finally:
            hello.cancel()
            await self._end()

    async def _end(self) -> None:
        self._closed = self.leaving = True
        if self._expiry is not None:
            self._expiry.cancel()
        tasks: list[asyncio.Task[Any]] = [*self._tasks, *self._answers.cancel()]
        if self._pump is not None:
            tasks.append(self._pump)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._receipts.close()

    # -- frames of the client ----------------------------------------------------------------

    def _within_rate(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._frames_since > 60:
            self._frames, self._frames_since = 0, now
        self._frames += 1
        return self._frames <= self._service.settings.frames_per_minute

    async def _take(self, message: Message) -> None:
        if not self._within_rate():
            self.leave(native.TOO_MANY_FRAMES, "too_many_frames", retry=True)
            return
        text = message.get("text")
        if text is None:
            action = self._session.receive_binary()
        elif _too_large(text, self._service.host.limits.frame_bytes):
            action = native.Close(native.TOO_LARGE, "the frame is over the limit")
        else:
            action = self._session.receive(text)
        match action:
            case native.Submit():
                await self._answers.submit(action.command_id, action.command)
            case native.Acknowledge():
                self._receipts.acknowledge(self._session.device, action.position)
            case native.Reply():
                await self._write(action.frame)
            case native.Start():
                await self._start(action)
            case native.Reauthenticate():
                await self._renew(action.token)
            case native.Close():
                self._close_soon(action.code, action.reason)

    async def _start(self, start: native.Start) -> None:
        service = self._service
        try:
            position, head, reset = await opening(
                service.store, self.user, start.position, service.settings.unavailable_seconds
            )
        except StoreGoneError:
            self.leave(native.GOING_AWAY, "unavailable", retry=True)
            return
        self._session.sent(position)
        await self._write(
            Welcome(
                user_id=self.user,
                mark=position.mark,
                head=head,
                cursor=position.cursor,
                reset=reset,
                limits=service.limits,
                agents=service.agents,
                version=service.version,
            )
        )
        if not self.leaving:
            self._pump = asyncio.create_task(self._deliver(position))

    # -- the log -----------------------------------------------------------------------------

    async def _deliver(self, position: Position) -> None:
        service = self._service
        pump = Pump(
            service.store,
            self.user,
            position,
            self._write_batch,
            observer=service.host.observer,
            unavailable_seconds=service.settings.unavailable_seconds,
        )
        try:
            await pump.run()
        except PositionError:
            self.leave(native.GOING_AWAY, "reset", retry=True)
        except StoreGoneError:
            self.leave(native.GOING_AWAY, "unavailable", retry=True)
        except OSError:
            return  # the connection broke; the receive loop hears of it too
        except Exception:
            logger.exception("a reader's pump failed")
            self.leave(native.GOING_AWAY, "unavailable", retry=True)

    async def _write_batch(self, batch: Batch) -> None:
        await self._emit({"type": "websocket.send", "text": encode_batch(batch).decode()})
        self._session.sent(Position(batch.mark, batch.to))
        if has_terminal(batch):
            self._receipts.sent_terminal(batch.to)

    # -- tokens ------------------------------------------------------------------------------

    async def _renew(self, token: str) -> None:
        try:
            principal = await self._service.auth.renew(token)
            if principal.user != self.user:
                raise RefusedError("forbidden", "This token is another user's.")
        except RefusedError as error:
            await self._write(native.refused(None, error))
            return
        self.principal = principal
        self._arm_expiry()
        await self._write(Renewed())

    def _arm_expiry(self) -> None:
        """Tokens end by the wall clock, as their issuer wrote: not more than a day is slept."""
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if self.principal.expires is not None:
            seconds = max(self.principal.expires - time.time(), 0.0)
            loop = asyncio.get_running_loop()
            self._expiry = loop.call_later(min(seconds, _DAY), self._expired)

    def _expired(self) -> None:
        if self.principal.expires is not None and self.principal.expires > time.time():
            self._arm_expiry()
        else:
            self.leave(native.TOKEN_ENDED, "token_ended", retry=True)

    def _no_hello(self) -> None:
        if self._session.device is None and not self.leaving:
            self._close_soon(native.BAD_HELLO, "no hello came")

    # -- writing and leaving -----------------------------------------------------------------

    async def _emit(self, message: Message) -> None:
        try:
            await self._send(message)
        except RuntimeError as error:
            # uvicorn's answer once it closed by itself, such as for a frame that is too large.
            raise ConnectionResetError(str(error)) from error

    async def _write(self, frame: AnyServerFrame) -> None:
        if not self.leaving:
            await self._emit({"type": "websocket.send", "text": encode_frame(frame)})

    def leave(self, code: int, reason: str, *, retry: bool) -> asyncio.Task[None]:
        """Say goodbye and close, soon; nothing of the log is sent any more."""
        if self._pump is not None and self._pump is not asyncio.current_task():
            self._pump.cancel()
        first = not self.leaving
        self.leaving = True
        goodbye = Goodbye(code=reason, reason=REASONS[reason], retry=retry)
        return self._spawn(
            self._bounded(lambda: self._leave(goodbye, code)) if first else _nothing()
        )

    async def _leave(self, goodbye: Goodbye, code: int) -> None:
        await self._emit({"type": "websocket.send", "text": encode_frame(goodbye)})
        await self._close(code, goodbye.code)

    async def _close(self, code: int, reason: str) -> None:
        await self._emit({"type": "websocket.close", "code": code, "reason": reason})

    def _close_soon(self, code: int, reason: str) -> None:
        """Close without a goodbye, for a peer that does not speak this protocol."""
        self.leaving = True
        if self._pump is not None:
            self._pump.cancel()
        self._spawn(self._bounded(lambda: self._close(code, reason)))

    async def _bounded(self, leave: Callable[[], Awaitable[None]]) -> None:
        """A peer that reads nothing does not take its goodbye either: give it up in the end."""
        try:
            async with asyncio.timeout(_LEAVE_SECONDS):
                await leave()
        except OSError:  # TimeoutError is one
            self._closed = True
            if self._serving is not None:
                self._serving.cancel()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _nothing() -> None:
    """It is leaving already."""


def _too_large(text: str, most: int) -> bool:
    """True if a frame is over the limit in bytes; only one near it needs to be encoded for that."""
    return len(text) * 4 > most and len(text.encode("utf-8", "surrogatepass")) > most


REASONS: dict[str, str] = {
    "shutting_down": "This server is shutting down; connect again.",
    "reset": "The log is not the one that was read; say hello again.",
    "unavailable": "The store does not answer; connect again.",
    "token_ended": "The token has ended; connect with a fresh one.",
    "too_many_sockets": "This user has opened too many sockets; this was the oldest.",
    "too_many_frames": "Too many frames; slow down.",
}
"""What a goodbye says, by its code."""
