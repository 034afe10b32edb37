"""Bugs planted on purpose: a simulator that does not find them proves nothing.

Each is a context in which one thing is done wrong, as somebody could do it by mistake.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from goldenpath.engine import (
    demand,
    execution,
    histories,
    host,
    journal,
    outbox,
    toolcall,
    user_engine,
)
from goldenpath.model.ids import AppendId, Seq
from goldenpath.store.interface import Batch
from goldenpath.testing import memory_store

PLANTED: dict[str, Callable[[], AbstractContextManager[None]]] = {}


@contextlib.contextmanager
def _patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    original = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def _plant(owner: Any, name: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Register `make(original) -> broken` as the bug of its name."""

    def register(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        key = make.__name__.removeprefix("_").replace("_", " ")
        PLANTED[key] = lambda: _patched(owner, name, make(owner.__dict__[name]))
        return make

    return register


@_plant(memory_store.MemoryStore, "append")
def _deliver_before_durable(original: Any) -> Any:
    async def append(self: Any, one: Any) -> None:
        record = self.disk.user(one.user)
        before = len(record.entries)
        record.entries.extend(one.entries)
        self._notify(one.user)
        await asyncio.sleep(0.002)
        if not self.dead:
            del record.entries[before:]
            await original(self, one)

    return append


@_plant(outbox.Outbox, "_send")
def _append_again_with_a_new_id(original: Any) -> Any:
    def send(self: Any) -> None:
        flight = self._flight
        if flight is None or not flight.repeats:
            original(self)
            return

        async def again() -> None:
            one = flight.append
            head = (await self._store.head(self._user)).cursor
            entries = [
                replace(e, seq=Seq(head + number)) for number, e in enumerate(one.entries, 1)
            ]
            append_id = AppendId(f"{one.append_id}.{flight.repeats}")
            await self._store.append(replace(one, append_id=append_id, head=head, entries=entries))

        asyncio.ensure_future(again()).add_done_callback(self._answered)

    return send


@_plant(memory_store.MemoryStore, "read")
def _off_by_one_resume(original: Any) -> Any:
    async def read(self: Any, user: Any, position: Any, limit: int = 1000, **more: Any) -> Any:
        batch = await original(self, user, position, limit, **more)
        if position.cursor and self.disk.user(user).mark != position.mark and batch.events:
            return Batch(batch.mark, batch.from_, batch.to, batch.hidden, batch.events[1:])
        return batch

    return read


@_plant(memory_store.MemoryStore, "read")
def _hidden_by_subtraction(original: Any) -> Any:
    async def read(self: Any, user: Any, position: Any, limit: int = 1000, **more: Any) -> Any:
        batch = await original(self, user, position, limit, **more)
        events = [e for e in batch.events if b'"tool_progress"' not in e and b"hinking" not in e]
        hidden = batch.to - batch.from_ - len(events)
        return Batch(batch.mark, batch.from_, batch.to, hidden, events)

    return read


@_plant(memory_store.MemoryStore, "pending")
def _consume_the_inbox_by_cursor(original: Any) -> Any:
    async def pending(self: Any, user: Any) -> Any:
        found = await original(self, user)
        seen = self.__dict__.setdefault("_seen", {})
        start = seen.get(user, 0)
        seen[user] = max(start, len(self.disk.user(user).rows.receipts) + len(found))
        settled = len(self.disk.user(user).rows.receipts)
        return found[max(start - settled, 0) :] if start > settled else found

    return pending


@_plant(memory_store.MemoryStore, "submit")
def _forget_the_receipts(original: Any) -> Any:
    async def submit(self: Any, user: Any, command_id: Any, body: bytes, now_ms: int) -> Any:
        record = self.disk.user(user)
        if command_id.startswith("s"):
            record.rows.receipts.pop(command_id, None)
        return await original(self, user, command_id, body, now_ms)

    return submit


@_plant(execution.Execution, "main")
def _attempt_not_durable_before_code(original: Any) -> Any:
    async def main(self: Any, history: Any) -> None:
        real = self.engine.outbox.durable
        first = True

        async def durable(seq: int | None = None) -> None:
            nonlocal first
            if first:
                first = False
                return
            await real(seq)

        self.engine.outbox.durable = durable
        try:
            await original(self, history)
        finally:
            with contextlib.suppress(AttributeError):
                del self.engine.outbox.durable

    return main


@_plant(outbox.Outbox, "durable")
def _nothing_is_waited_for(original: Any) -> Any:
    async def durable(self: Any, seq: int | None = None) -> None:
        await asyncio.sleep(0)

    return durable


@_plant(toolcall.ToolCall, "_ambiguous")
def _call_an_ambiguous_tool_again(original: Any) -> Any:
    async def ambiguous(self: Any) -> None:
        self._next_attempt()

    return ambiguous


@_plant(journal.Journal, "turn")
def _completions_released_at_once(original: Any) -> Any:
    def turn(self: Any, order: int) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        loop.call_later(0.001 * (order * 7 % 5), lambda: future.done() or future.set_result(None))
        return future

    return turn


@_plant(user_engine.UserExecutionEngine, "_due_ms")
def _no_durable_demand(original: Any) -> Any:
    return lambda self: None


@_plant(demand, "may_go_on")
def _sleepers_are_never_woken(original: Any) -> Any:
    return lambda run, runs, now_ms: run.journal.answered


@_plant(user_engine, "closing")
def _open_calls_stay_open(original: Any) -> Any:
    def closing(*args: Any, **kwargs: Any) -> Any:
        found = list(original(*args, **kwargs))
        return iter(found[-1:])

    return closing


@_plant(host.EngineHost, "give_slot")
def _slot_never_given_back(original: Any) -> Any:
    return lambda self, user: None


_SHARED: dict[str, Any] = {}


@_plant(histories.Histories, "before")
def _a_dict_shared_between_users(original: Any) -> Any:
    async def history(self: Any, one: Any) -> Any:
        found = await original(self, one)
        shared = _SHARED.setdefault("messages", [])
        shared.extend(found)
        return list(shared)

    return history


__all__ = ["PLANTED"]
