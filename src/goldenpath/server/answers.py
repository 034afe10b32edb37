"""Answers to a socket's commands: many on their way at once, written in the commands' order."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable

from goldenpath.engine.host import EngineHost
from goldenpath.errors import RefusedError
from goldenpath.model.commands import AnyCommand
from goldenpath.model.ids import CommandId, UserId
from goldenpath.wire import native
from goldenpath.wire.frames import AnyServerFrame

logger = logging.getLogger(__name__)

_PIPELINE = 64
"""Commands of one socket on their way at once; reading stops until the oldest is answered."""


class Answers:
    """Submits commands in order, so that many become durable in one commit."""

    __slots__ = ("_host", "_room", "_under_way", "_user", "_write", "_writing")

    def __init__(
        self, host: EngineHost, user: UserId, write: Callable[[AnyServerFrame], Awaitable[None]]
    ) -> None:
        self._host = host
        self._user = user
        self._write = write
        self._under_way: deque[asyncio.Task[AnyServerFrame]] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None

    async def submit(self, command_id: CommandId, command: AnyCommand) -> None:
        """Begin a command; wait only while too many are under way."""
        if self._under_way is None or self._room is None:  # most sockets only read
            self._under_way, self._room = deque(), asyncio.Event()
        self._under_way.append(asyncio.create_task(self._answer(command_id, command)))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all(self._under_way, self._room))
        while len(self._under_way) >= _PIPELINE and not self._writing.done():
            self._room.clear()
            await self._room.wait()

    def cancel(self) -> list[asyncio.Task[AnyServerFrame] | asyncio.Task[None]]:
        """Stop to wait for outcomes; what was submitted is durable, and its id can be sent again.

        Returns the tasks that end now.
        """
        tasks: list[asyncio.Task[AnyServerFrame] | asyncio.Task[None]] = [*(self._under_way or ())]
        if self._writing is not None:
            tasks.append(self._writing)
        for task in tasks:
            task.cancel()
        return tasks

    async def _answer(self, command_id: CommandId, command: AnyCommand) -> AnyServerFrame:
        try:
            settled = await self._host.submit(self._user, command_id, command)
        except RefusedError as error:
            return native.refused(command_id, error)
        except Exception:
            logger.exception("a command failed")
            return native.refused(
                command_id,
                RefusedError("unavailable", "The outcome is not known.", retryable=True),
            )
        return native.accepted(settled.receipt, duplicate=settled.duplicate)

    async def _write_all(
        self, under_way: deque[asyncio.Task[AnyServerFrame]], room: asyncio.Event
    ) -> None:
        try:
            while under_way:
                frame = await asyncio.shield(under_way[0])
                under_way.popleft()
                room.set()
                await self._write(frame)
        except OSError:
            return  # the connection broke; the receive loop hears of it too
        finally:
            room.set()
