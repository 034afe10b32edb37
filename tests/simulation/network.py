"""Connections between simulated devices and hosts: ASGI on one side, frames on the other."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any

from tests.simulation.loop import Process

_WINDOW = 8
"""Frames on their way to a device before its host has to wait."""


_LATE = 0.3
"""Share of the frames that take some time..."""
_DELAY = 0.03
"""...at most so many seconds; the others take none."""


class Broken(Exception):
    """The connection is no more."""


class Link:
    """One WebSocket. Frames arrive in order, after a delay, or never."""

    def __init__(self, process: Process, rng: random.Random) -> None:
        self.process = process
        self.closed = False
        self._rng = rng
        self._loop = process.loop
        self._to_host: deque[str] = deque()
        self._to_device: deque[str] = deque()
        self._alarm: Any = None
        self._until = 0.0
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    # -- the host's side: ASGI -----------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        while not self._to_host:
            if self.closed:
                return {"type": "websocket.disconnect", "code": 1006}
            await self._wait("receive")
        if self._rng.random() < _LATE:
            await self._loop.pause(self._rng.random() * _DELAY)
        return {"type": "websocket.receive", "text": self._to_host.popleft()}

    async def send(self, message: dict[str, Any]) -> None:
        while len(self._to_device) >= _WINDOW and not self.closed:
            await self._wait("send")
        if self.closed:
            raise OSError("the connection is broken")
        if message["type"] == "websocket.close":
            self.cut()
        elif not self.process.dead:
            self._to_device.append(message["text"])
            self._wake("read")

    # -- the device's side ---------------------------------------------------------------------

    def write(self, frame: str) -> None:
        """Send a frame; one that is lost with the connection is not missed here."""
        if not self.closed:
            self._to_host.append(frame)
            self._wake("receive")

    async def read(self, seconds: float | None) -> str | None:
        """Take the next frame; None if none comes within `seconds`. Raises Broken."""
        loop = self._loop
        end = None if seconds is None else loop.time() + seconds
        if end is not None:
            self._until = end
        while not self._to_device:
            if self.closed:
                raise Broken
            if end is None:
                await self._wait("read")
            elif loop.time() >= end:
                return None
            else:
                if self._alarm is None:  # one for many reads: most take what is there already
                    self._alarm = loop.call_at(end, self._ring)
                await self._wait("read")
        if self._rng.random() < _LATE:
            await loop.pause(self._rng.random() * _DELAY)
        frame = self._to_device.popleft()
        self._wake("send")
        return frame

    def cut(self) -> None:
        """Break it: what is on its way to the device may still arrive."""
        self.closed = True
        for name in list(self._waiting):
            self._wake(name)

    def _ring(self) -> None:
        self._alarm = None
        if self._loop.time() >= self._until:
            self._wake("read")
        elif "read" in self._waiting:
            self._alarm = self._loop.call_at(self._until, self._ring)

    def _wait(self, name: str) -> asyncio.Future[None]:
        waiter = self._loop.create_future()
        self._waiting.setdefault(name, []).append(waiter)
        return waiter

    def _wake(self, name: str) -> None:
        for waiter in self._waiting.pop(name, ()):
            if not waiter.done():
                waiter.set_result(None)
