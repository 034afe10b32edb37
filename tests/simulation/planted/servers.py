"""Mistakes between the log and a device."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from goldenpath.model.ids import Seq
from goldenpath.server import delivery, receipts, socket
from goldenpath.store.interface import Position
from goldenpath.wire import native
from tests.simulation.planted.planting import plant


@plant(socket, "opening")
def _believe_any_cursor(original: Any) -> Any:
    async def opening(store: Any, user: Any, asked: Any, seconds: float) -> Any:
        found = await original(store, user, asked, seconds)
        return found if asked is None else found._replace(position=asked, reset=False)

    return opening


@plant(socket, "opening")
def _begin_one_entry_late(original: Any) -> Any:
    async def opening(store: Any, user: Any, asked: Any, seconds: float) -> Any:
        found = await original(store, user, asked, seconds)
        mark, cursor = found.position
        if asked is None or found.reset or cursor + 1 >= found.head:
            return found
        late = await store.read(user, found.position, 1)
        return found._replace(position=Position(late.mark, Seq(cursor + 1)))

    return opening


@plant(delivery.Pump, "_read")
def _go_on_at_the_head(original: Any) -> Any:
    async def read(self: Any) -> Any:
        batch = await original(self)
        if batch.more:
            head = await self._store.head(self._user)
            return replace(batch, mark=head.mark, to=head.cursor, more=False)
        return batch

    return read


@plant(socket.Socket, "_write_batch")
def _write_frames_of_progress_only_once_in_a_while(original: Any) -> Any:
    async def write(self: Any, batch: Any) -> None:
        if len(batch.events) == 1 and b"agent_output" in batch.events[0]:
            return
        await original(self, batch)

    return write


@plant(native, "accepted")
def _call_every_answer_the_first_one(original: Any) -> Any:
    first: dict[str, Any] = {}

    def accepted(receipt: Any, *, duplicate: bool) -> Any:
        known = first.setdefault(receipt.thread_id or "", receipt)
        return original(replace(receipt, run_id=known.run_id), duplicate=duplicate)

    return accepted


@plant(receipts.Receipts, "acknowledge")
def _acknowledge_what_was_sent(original: Any) -> Any:
    def acknowledge(self: Any, device: Any, position: Any) -> None:
        original(self, device, position._replace(cursor=Seq(position.cursor + 1)))

    return acknowledge
