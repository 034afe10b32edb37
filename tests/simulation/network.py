"""Connections between simulated devices and hosts: ASGI on one side, frames on the other."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from typing import Any

from tests.simulation.loop import Process

_WINDOW = 8
"""Frames on their way to a device before its host has to wait."""


class Broken(Exception):
    """The connection is no more."""


class Link:
    """One WebSocket. Frames arrive in order, after a delay, or never."""

    def __init__(self, process: Process, rng: random.Random) -> None:
        self.process = process
        self.closed = False
        self._rng = rng
        self._to_host: deque[str] = deque()
        self._to_device: deque[str] = deque()
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}

    # -- the host's side: ASGI -----------------------------------------------------------------

    async def receive(self) -> dict[str, Any]:
        while not self._to_host:
            if self.closed:
                return {"type": "websocket.disconnect", "code": 1006}
            await self._wait("receive")
        await self._delay()
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
        loop = asyncio.get_running_loop()
        end = None if seconds is None else loop.time() + seconds
        while not self._to_device:
            if self.closed:
                raise Broken
            if end is None:
                await self._wait("read")
            elif loop.time() >= end:
                return None
            else:
                alarm = loop.call_at(end, self._wake, "read")
                await self._wait("read")
                alarm.cancel()
        await self._delay()
        frame = self._to_device.popleft()
        self._wake("send")
        return frame

    def cut(self) -> None:
        """Break it: what is on its way to the device may still arrive."""
        self.closed = True
        for name in list(self._waiting):
            self._wake(name)

    async def _delay(self) -> None:
        if self._rng.random() < 0.3:
            await asyncio.sleep(self._rng.random() * 0.03)

    async def _wait(self, name: str) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(waiter)
        await waiter

    def _wake(self, name: str) -> None:
        for waiter in self._waiting.pop(name, ()):
            if not waiter.done():
                waiter.set_result(None)
