"""A device's receipts of delivery: at once for a run's end, else every few seconds."""

from __future__ import annotations

import asyncio

from goldenpath.errors import PositionError, StoreUnavailableError
from goldenpath.model.ids import DeviceId, UserId
from goldenpath.server.service import Service
from goldenpath.store.interface import Position

_MOST_TERMINALS = 1000


class Receipts:
    """Acknowledgements of one socket on their way to the store."""

    __slots__ = ("_device", "_service", "_terminals", "_timer", "_user", "_waiting", "_writing")

    def __init__(self, service: Service, user: UserId) -> None:
        self._service = service
        self._user = user
        self._device: DeviceId | None = None
        self._waiting: Position | None = None
        self._terminals: list[int] = []
        """Seqs of frames with a run's end that are not acknowledged yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Task[None] | None = None

    def sent_terminal(self, seq: int) -> None:
        """A frame that ends at `seq` and has a run's end was sent."""
        self._terminals.append(seq)
        del self._terminals[:-_MOST_TERMINALS]

    def acknowledge(self, device: DeviceId | None, position: Position) -> None:
        """The device has everything up to there; it is written soon."""
        if self._waiting is not None and position.cursor <= self._waiting.cursor:
            return
        self._device, self._waiting = device, position
        if self._terminals and self._terminals[0] <= position.cursor:
            self._write_now()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._service.settings.ack_seconds, self._write_now)

    def _write_now(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting is not None:
            position, self._waiting = self._waiting, None
            try:
                most = self._service.host.limits.devices_per_user
                await self._service.store.acknowledge(self._user, self._device, position, most)
            except (StoreUnavailableError, PositionError):
                return  # a receipt is not worth a socket; the next one says it too
            while self._terminals and self._terminals[0] <= position.cursor:
                del self._terminals[0]
                self._service.host.observer.answer_delivered()

    async def close(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await asyncio.wait({self._writing})
        await self._write()
