"""Mistakes of a store: what a database's client could do wrong."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec.structs import replace

from goldenpath.store.interface import Batch, Submission
from goldenpath.testing import memory_store
from tests.simulation.planted.planting import plant


@plant(memory_store.MemoryStore, "append")
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


@plant(memory_store.MemoryStore, "read")
def _off_by_one_resume(original: Any) -> Any:
    async def read(self: Any, user: Any, position: Any, limit: int = 1000, **more: Any) -> Any:
        batch = await original(self, user, position, limit, **more)
        if position.cursor and self.disk.user(user).mark != position.mark and batch.events:
            return Batch(batch.mark, batch.from_, batch.to, batch.hidden, batch.events[1:])
        return batch

    return read


@plant(memory_store.MemoryStore, "read")
def _hidden_by_subtraction(original: Any) -> Any:
    async def read(self: Any, user: Any, position: Any, limit: int = 1000, **more: Any) -> Any:
        batch = await original(self, user, position, limit, **more)
        events = [e for e in batch.events if b'"tool_progress"' not in e and b"hinking" not in e]
        hidden = batch.to - batch.from_ - len(events)
        return Batch(batch.mark, batch.from_, batch.to, hidden, events)

    return read


@plant(memory_store.MemoryStore, "pending")
def _consume_the_inbox_by_cursor(original: Any) -> Any:
    async def pending(self: Any, user: Any) -> Any:
        found = await original(self, user)
        seen = self.__dict__.setdefault("_seen", {})
        start = seen.get(user, 0)
        seen[user] = max(start, len(self.disk.user(user).rows.receipts) + len(found))
        settled = len(self.disk.user(user).rows.receipts)
        return found[max(start - settled, 0) :] if start > settled else found

    return pending


@plant(memory_store.MemoryStore, "submit")
def _forget_the_receipts(original: Any) -> Any:
    async def submit(self: Any, user: Any, command_id: Any, body: bytes, now_ms: int) -> Any:
        record = self.disk.user(user)
        if command_id.startswith("s"):
            record.rows.receipts.pop(command_id, None)
        return await original(self, user, command_id, body, now_ms)

    return submit


@plant(memory_store.MemoryStore, "append")
def _forget_the_epoch(original: Any) -> Any:
    async def append(self: Any, one: Any) -> None:
        record = self.disk.user(one.user)
        entries = [
            replace(entry, seq=record.head + n) for n, entry in enumerate(one.entries, start=1)
        ]
        same = {"epoch": record.epoch, "mark": record.mark, "head": record.head}
        await original(self, replace(one, **same, entries=entries))

    return append


@plant(memory_store.MemoryStore, "_lives")
def _steal_the_lease_of_a_living_host(original: Any) -> Any:
    return lambda self, host: False


@plant(memory_store.MemoryStore, "_lives")
def _steal_a_lease_too_early(original: Any) -> Any:
    def lives(self: Any, host: Any) -> bool:
        lease, self.lease_seconds = self.lease_seconds, self.lease_seconds / 4
        try:
            return bool(original(self, host))
        finally:
            self.lease_seconds = lease

    return lives


@plant(memory_store.MemoryStore, "doubt")
def _take_silence_for_death_in_an_outage(original: Any) -> Any:
    return lambda self: None


@plant(memory_store.MemoryStore, "submit")
def _accept_a_command_without_keeping_it(original: Any) -> Any:
    async def submit(self: Any, user: Any, command_id: Any, body: bytes, now_ms: int) -> Any:
        known = command_id in self.disk.user(user).inbox
        answer = await original(self, user, command_id, body, now_ms)
        if not known and command_id.endswith("7"):
            self.disk.user(user).inbox.pop(command_id, None)
            return Submission("waiting")
        return answer

    return submit


@plant(memory_store.MemoryStore, "demand")
def _demand_without_the_inbox(original: Any) -> Any:
    async def demand(self: Any, now_ms: int, limit: int = 1000, host: Any = None) -> Any:
        asking, users = await original(self, now_ms, limit, host), self.disk.users
        due = ((user, users[user].due_ms) for user in asking)
        return [user for user, due_ms in due if due_ms is not None and due_ms <= now_ms]

    return demand


@plant(memory_store.MemoryWatch, "wait")
def _lose_what_woke_before_waiting(original: Any) -> Any:
    async def wait(self: Any) -> None:
        self._news = False
        self._relook = None
        await original(self)

    return wait


@plant(memory_store.MemoryStore, "read")
def _take_a_wake_up_for_an_entry(original: Any) -> Any:
    async def read(self: Any, user: Any, position: Any, limit: int = 1000, **more: Any) -> Any:
        batch = await original(self, user, position, limit, **more)
        if not batch.events and batch.to == batch.from_ and position.cursor:
            return Batch(batch.mark, batch.from_, batch.to + 1, 1, [], False)
        return batch

    return read


@plant(memory_store.MemoryStore, "read")
def _read_the_last_entry_twice(original: Any) -> Any:
    async def read(self: Any, user: Any, position: Any, limit: int = 1000, **more: Any) -> Any:
        batch = await original(self, user, position, limit, **more)
        if len(batch.events) > 1 and b"agent_output" in batch.events[-1]:
            events = [*batch.events, batch.events[-1]]
            return Batch(batch.mark, batch.from_, batch.to, batch.hidden - 1, events, batch.more)
        return batch

    return read


@plant(memory_store.MemoryStore, "read")
def _let_a_log_be_read_by_another_user(original: Any) -> Any:
    async def read(self: Any, user: Any, position: Any, limit: int = 1000, **more: Any) -> Any:
        batch = await original(self, user, position, limit, **more)
        last = self.__dict__.setdefault("_last", {})
        if batch.events:
            mixed = {"events": last["events"]} if len(last.get("events", ())) == len(
                batch.events
            ) else {}  # fmt: skip
            last["events"] = batch.events
            return replace(batch, **mixed)
        return batch

    return read


@plant(memory_store.MemoryStore, "_erase")
def _keep_what_is_to_be_erased(original: Any) -> Any:
    return lambda self, record, thread_id: None


@plant(memory_store.MemoryStore, "_erase")
def _erase_a_little_too_much(original: Any) -> Any:
    return lambda self, record, thread_id: original(self, record, None)


@plant(memory_store, "_PRUNED")
def _prune_the_ends_of_runs(original: Any) -> Any:
    return original | {"agent_completed"}


@plant(memory_store, "apply")
def _forget_a_projection(original: Any) -> Any:
    def apply(rows: Any, entry: Any) -> None:
        if entry.seq % 11:
            original(rows, entry)

    return apply


@plant(memory_store.MemoryStore, "acknowledge")
def _acknowledge_for_the_whole_log(original: Any) -> Any:
    async def acknowledge(self: Any, user: Any, device: Any, position: Any, *more: Any) -> None:
        await original(self, user, device, await self.head(user), *more)

    return acknowledge


@plant(memory_store.MemoryStore, "release")
def _release_whatever_epoch(original: Any) -> Any:
    async def release(self: Any, user: Any, epoch: int) -> None:
        await asyncio.sleep(0.01)
        await original(self, user, self.disk.user(user).epoch)

    return release
