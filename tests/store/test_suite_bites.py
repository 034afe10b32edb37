"""Stores that are broken on purpose: the suite must find each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import ORIGIN_MARK, Seq
from goldenpath.store.interface import Batch, Submission
from goldenpath.testing.memory_store import MemoryStore
from tests.store.clauses import CHECKS
from tests.store.sites import MemorySite

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Lossy(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(append)
        record = self.disk.user(append.user)
        if len(record.entries) > 3:
            last = record.entries[-1]
            record.entries[-1] = EncodedEntry(last.seq, last.type, last.internal, b"")


class Reordering(MemoryStore):
    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        b = await super().read(*args, **kwargs)
        return Batch(b.mark, b.from_, b.to, b.hidden, b.events[::-1])


class DoubleAppending(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            record.last_append = None
            if record.head > append.head:
                self.disk.users[append.user].entries.extend(append.entries)
                return
        await super().append(append)


class ForgetsTheEpoch(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            append = _with(append, epoch=record.epoch)
        await super().append(append)


class ForgetsTheMark(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            append = _with(append, mark=record.mark)
        await super().append(append)


class ForgetsTheHead(MemoryStore):
    async def append(self, append: Any) -> None:
        record = self.disk.users.get(append.user)
        if record is not None:
            moved = [
                EncodedEntry(record.head + n, e.type, e.internal, e.json)
                for n, e in enumerate(append.entries, 1)
            ]
            append = _with(append, head=Seq(record.head), entries=moved)
        await super().append(append)


class WakesWithoutData(MemoryStore):
    async def append(self, append: Any) -> None:
        self._notify(append.user)
        entries = append.entries
        await super().append(append)
        if entries and self.disk.user(append.user).head % 7 == 0:
            del self.disk.user(append.user).entries[-1]


class DataWithoutWaking(MemoryStore):
    def _notify(self, user: Any) -> None:
        return None


class HiddenBySubtraction(MemoryStore):
    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        b = await super().read(*args, **kwargs)
        events = b.events[:2]
        return Batch(b.mark, b.from_, b.to, b.to - b.from_ - len(events), events)


class InboxByCursor(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(append)
        record = self.disk.user(append.user)
        done = [e for e in append.entries if e.type == "command_settled"]
        for name in list(record.inbox)[: len(done)]:
            del record.inbox[name]


class ForgetsReceipts(MemoryStore):
    async def submit(self, user: Any, command_id: Any, body: bytes, now_ms: int) -> Submission:
        self.disk.user(user).rows.receipts.pop(command_id, None)
        return await super().submit(user, command_id, body, now_ms)


class AnswersForeignIds(MemoryStore):
    async def run(self, user: Any, run_id: Any) -> Any:
        for record in self.disk.users.values():
            if run_id in record.rows.runs:
                return record.rows.runs[run_id]
        return None


class AcksGoBack(MemoryStore):
    async def acknowledge(self, user: Any, device: Any, position: Any, devices: int = 50) -> None:
        self.disk.user(user).check(position)
        self.disk.user(user).acks[device] = position.cursor


class PruneRemovesSeqs(MemoryStore):
    async def prune(self, *args: Any, **kwargs: Any) -> int:
        done = await super().prune(*args, **kwargs)
        for record in self.disk.users.values():
            record.entries = [e for e in record.entries if e.json]
        return done


class HalfAnAppend(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(append)
        if len(append.entries) == 2 and append.entries[1].internal:
            del self.disk.user(append.user).entries[-1]


class RefusalsStay(MemoryStore):
    async def submit(self, user: Any, command_id: Any, body: bytes, now_ms: int) -> Submission:
        row = self.disk.user(user).inbox.get(command_id)
        if row is not None and row.refusal is not None:
            return Submission("waiting")
        return await super().submit(user, command_id, body, now_ms)


class AnyPositionWillDo(MemoryStore):
    async def read(self, user: Any, position: Any, *args: Any, **kwargs: Any) -> Batch:
        if position.cursor > self.disk.user(user).head:
            position = type(position)(ORIGIN_MARK, Seq(0))
        return await super().read(user, position, *args, **kwargs)


class DueIsForgotten(MemoryStore):
    async def append(self, append: Any) -> None:
        await super().append(_with(append, due_ms=None))


class LeaseForAll(MemoryStore):
    async def acquire(self, user: Any, host: Any, mark: Any) -> Any:
        record = self.disk.users.get(user)
        if record is not None:
            record.holder = None
        return await super().acquire(user, host, mark)


def _with(append: Any, **changes: Any) -> Any:
    fields = {name: getattr(append, name) for name in append.__struct_fields__}
    return type(append)(**{**fields, **changes})


BROKEN: list[Callable[..., MemoryStore]] = [
    Lossy, Reordering, DoubleAppending, ForgetsTheEpoch, ForgetsTheMark, ForgetsTheHead,
    WakesWithoutData, DataWithoutWaking, HiddenBySubtraction, InboxByCursor, ForgetsReceipts,
    AnswersForeignIds, AcksGoBack, PruneRemovesSeqs, HalfAnAppend, RefusalsStay,
    AnyPositionWillDo, DueIsForgotten, LeaseForAll,
]  # fmt: skip


async def failing(make: Callable[..., MemoryStore]) -> list[str]:
    """The clauses that a store does not keep."""
    found: list[str] = []
    for name, check in CHECKS.items():
        try:
            async with asyncio.timeout(0.5 if make is DataWithoutWaking else 5):
                await check(MemorySite(make))
        except Exception:  # whatever it is, the clause is not kept
            found.append(name)
        except BaseExceptionGroup:
            found.append(name)
    return found


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
async def test_a_broken_store_is_found(make: Callable[..., MemoryStore]) -> None:
    assert await failing(make)


async def test_the_store_in_memory_keeps_every_clause() -> None:
    assert await failing(MemoryStore) == []
