"""One socket after another: the thin shell around reader, outbox and feed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from goldenpath.client.backoff import Backoff, Clock
from goldenpath.client.cursor import Fresh, Reader, Reset, Violation
from goldenpath.client.endings import Ending, judge, judge_handshake
from goldenpath.client.feed import Feed
from goldenpath.client.frames import decode_frame, encode_frame
from goldenpath.client.http import is_loopback
from goldenpath.client.outbox import Outbox
from goldenpath.client.tokens import Tokens
from goldenpath.errors import CodecError, GoldenpathError, StoppedError
from goldenpath.wire.frames import (
    Accepted,
    Ack,
    AnyServerFrame,
    Events,
    Goodbye,
    Hello,
    Refused,
    Renew,
    Welcome,
)

State = Literal["connecting", "online", "waiting", "closed"]
"""`waiting`: the connection was lost and will be made again."""

OPEN_SECONDS = 10.0
"""For the handshake, and again for the welcome."""
HEARTBEAT_SECONDS = 20.0
"""A peer that does not answer a ping for this long is gone."""
LARGEST_FRAME = 64 * 1024 * 1024
"""Bytes: an answer of 4 MiB in which every character is escaped, with room."""
STABLE_SECONDS = 10.0
"""A connection that held for this long counts as working, even if it carried nothing."""
MOST_VIOLATIONS = 5
"""Violations in a row, without progress, before the client stops."""


def socket_url(base: str) -> str:
    """The socket's address of a server's base address."""
    parts = urlsplit(base)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path + "/v1/socket", "", ""))


class Connection:
    """Keeps a socket open: what was read goes to the feed, what is in the outbox is sent."""

    def __init__(
        self,
        url: str,
        device: str,
        tokens: Tokens,
        *,
        reader: Reader,
        outbox: Outbox,
        feed: Feed,
        clock: Clock,
        backoff: Backoff,
        on_state: Callable[[State, str], None],
        on_reset: Callable[[], Awaitable[None]],
    ) -> None:
        self._url = socket_url(url)
        self._loopback = is_loopback(url)
        self._device = device
        self._tokens = tokens
        self._reader = reader
        self._outbox = outbox
        self._feed = feed
        self._clock = clock
        self._backoff = backoff
        self._busy = Backoff(base=1.0, rand=backoff.rand)
        self._on_state = on_state
        self._on_reset = on_reset
        self._to_write = asyncio.Event()
        self._ack: int | None = None
        self._renewal: str | None = None
        self._held = False
        self._goodbye: Goodbye | None = None
        self._violations = 0
        self._since = 0.0
        self._failure: Exception | None = None
        self._void = False
        self.welcomed = asyncio.Event()
        self.welcome: Welcome | None = None

    def wake(self) -> None:
        """There is something to write."""
        self._to_write.set()

    def ack(self, cursor: int) -> None:
        """Tell the server, now or once connected, what this device has."""
        if self._ack is None or cursor > self._ack:
            self._ack = cursor
            self.wake()

    async def run(self) -> None:
        """Connect, and again, until something ends it for good: raises `StoppedError`."""
        while True:
            self._on_state("connecting", "")
            ending = await self._connect()
            if self.welcomed.is_set() and self._clock.time() - self._since > STABLE_SECONDS:
                self._backoff.reset()
            self.welcomed.clear()
            if self._failure is not None:
                raise self._failure
            if ending.kind == "stop":
                raise ending.error
            if ending.kind == "token":
                self._tokens.rejected()
            elif ending.kind == "too_big":
                self._outbox.refuse_largest()
            self._on_state("waiting", ending.reason)
            await self._clock.sleep(self._backoff.next())

    async def _connect(self) -> Ending:
        """Hold one socket until it ends."""
        try:
            token = await self._tokens.current()
            socket = await connect(
                self._url,
                additional_headers={"Authorization": f"Bearer {token}"},
                compression=None,
                max_size=LARGEST_FRAME,
                open_timeout=OPEN_SECONDS,
                ping_interval=HEARTBEAT_SECONDS,
                ping_timeout=HEARTBEAT_SECONDS,
                close_timeout=1.0,
                proxy=None if self._loopback else True,
            )
        except InvalidStatus as error:
            return judge_handshake(error.response.status_code)
        except (OSError, WebSocketException, httpx.TransportError) as error:
            return Ending("again", str(error) or type(error).__name__)
        self._goodbye = None
        async with socket:
            try:
                return await self._converse(socket)
            except ConnectionClosed:
                pass
            except (OSError, httpx.TransportError) as error:
                return Ending("again", str(error) or "no welcome from the server")
            except CodecError as error:
                return self._violated(str(error))
        return judge(socket.close_code, socket.close_reason or "", self._goodbye)

    async def _converse(self, socket: ClientConnection) -> Ending:
        self._outbox.rewind()
        self._held = False
        position = self._reader.position
        hello = Hello(device=self._device)
        if position is not None:
            hello = Hello(device=self._device, cursor=position.cursor, mark=position.mark)
        await socket.send(encode_frame(hello))
        async with asyncio.timeout(OPEN_SECONDS):
            ending = await self._await_welcome(socket)
        if ending is not None:
            return ending
        self._tokens.accepted()
        self._on_state("online", "")
        # Only from here on: before the welcome of a first socket the place in the log is not
        # known, and what a command leads to could be missed if this socket broke now.
        writers = [
            asyncio.create_task(self._write(socket), name="goldenpath client: write"),
            asyncio.create_task(self._renew(socket), name="goldenpath client: renew"),
        ]
        try:
            return await self._read(socket)
        finally:
            for task in writers:
                task.cancel()
            await asyncio.gather(*writers, return_exceptions=True)

    async def _await_welcome(self, socket: ClientConnection) -> Ending | None:
        while True:
            frame = decode_frame(await socket.recv())
            if isinstance(frame, Goodbye):
                self._goodbye = frame
            elif isinstance(frame, Welcome):
                return await self._welcome(frame)
            elif isinstance(frame, Events):
                return self._violated("events before the welcome")

    async def _welcome(self, frame: Welcome) -> Ending | None:
        result = self._reader.welcome(frame)
        if isinstance(result, Violation):
            return self._violated(result.reason)
        self.welcome = frame
        size = frame.limits.get("frame_bytes")
        if isinstance(size, int):
            self._outbox.largest = size
        if isinstance(result, Reset):
            self._ack = None
            self._feed.reset(frame.cursor)
            self._void = True
        else:
            self._feed.begin(frame.cursor)
        if self._void:
            # Until it has succeeded: a socket that breaks meanwhile must not make it forgotten.
            await self._on_reset()
            self._void = False
        self._since = self._clock.time()
        self.welcomed.set()
        return None

    async def _read(self, socket: ClientConnection) -> Ending:
        while True:
            # A follower that lags stops the reading, and so the server's; except while a
            # command waits for its answer, since the follower may be who waits for it.
            while self._feed.full and not self._outbox:
                await self._feed.room()
            frame = decode_frame(await socket.recv())
            ending = self._take(frame)
            if ending is not None:
                return ending

    def _take(self, frame: AnyServerFrame | None) -> Ending | None:
        if isinstance(frame, Events):
            result = self._reader.feed(frame)
            if isinstance(result, Violation):
                return self._violated(result.reason)
            if isinstance(result, Fresh):
                self._progress()
                self._feed.push(result.events)
        elif isinstance(frame, Accepted):
            self._progress()
            self._busy.reset()
            self._outbox.accepted(frame)
        elif isinstance(frame, Refused):
            if self._outbox.refused(frame):
                self._held = True
                self.wake()
        elif isinstance(frame, Goodbye):
            self._goodbye = frame
        return None

    def _progress(self) -> None:
        self._backoff.reset()
        self._violations = 0

    def _violated(self, reason: str) -> Ending:
        """Read again from the last good position, on another socket."""
        self._violations += 1
        if self._violations >= MOST_VIOLATIONS:
            return Ending("stop", f"protocol: what the server sends has a gap: {reason}")
        return Ending("again", reason)

    async def _write(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            while True:
                self._to_write.clear()
                if self._renewal is not None:
                    token, self._renewal = self._renewal, None
                    await socket.send(encode_frame(Renew(token=token)))
                if self._ack is not None:
                    cursor, self._ack = self._ack, None
                    await socket.send(encode_frame(Ack(cursor=cursor)))
                if self._held:
                    await self._clock.sleep(self._busy.next())
                    self._held = False
                pending = self._outbox.unwritten()
                if pending is None:
                    await self._to_write.wait()
                    continue
                pending.written = True
                await socket.send(pending.text)

    async def _renew(self, socket: ClientConnection) -> None:
        while (seconds := self._tokens.renew_in(self._clock.time())) is not None:
            await self._clock.sleep(seconds)
            try:
                self._renewal = await self._tokens.fresh()
            except (OSError, httpx.TransportError):
                continue  # there is some life left in the old one
            except Exception as error:
                self._failure = error
                await socket.close()
                return
            self.wake()


def stopped(error: Exception) -> GoldenpathError:
    """What the client raises after its connection ended with `error`."""
    if isinstance(error, GoldenpathError):
        return error
    stop = StoppedError("failed", str(error) or type(error).__name__)
    stop.__cause__ = error
    return stop
