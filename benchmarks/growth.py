"""What a store's size costs: appends, resuming, lists and activation, small against large.

Real appends through the real store, medians of alternating repeats, and their ratios.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from goldenpath.engine.ports import Ids, SystemIds
from goldenpath.model import events, journal
from goldenpath.model.entries import EncodedEntry, Entry, encode
from goldenpath.model.ids import (
    ORIGIN_MARK,
    AppendId,
    CommandId,
    HostId,
    MessageId,
    PartId,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.server.delivery import FRAME_BYTES
from goldenpath.store.interface import Activation, Append, Position, Store
from goldenpath.store.sqlite import open_store

REPEATS = 5
RUN_ENTRIES = 10
IDS = SystemIds()


def run_entries(
    seq: int, thread: ThreadId, *, new_thread: bool, ids: Ids = IDS
) -> list[EncodedEntry]:
    """The entries of one whole run, as the engine writes them (10, or 11 with a new thread)."""
    now = time.time_ns() // 1_000_000
    run = RunId(ids.new())
    bodies: list[Any] = [
        events.MessageReceived(
            message_id=MessageId(ids.new()), text="What did we spend?", command_id=CommandId(ids.new())
        ),
        journal.RunOpened(agent="worker", budget_ms=300_000),
        journal.CommandSettled(
            command_id=CommandId(ids.new()), body_hash="0" * 64, kind="send", thread_id=thread,
            run_id=run, seq=seq,
        ),
        events.AgentStarted(agent="worker", version="1", message_id=None, deadline_ms=300_000),
        events.AgentThinking(text="Looking for the answer"),
        *(
            events.AgentOutput(part_id=PartId("p"), offset=n * 100, text="x" * 100)
            for n in range(RUN_ENTRIES - 6)
        ),
        events.AgentCompleted(
            status="succeeded", output="x" * 100 * (RUN_ENTRIES - 6), partial=False, error=None,
            usage={}, duration_ms=5,
        ),
    ]  # fmt: skip
    found: list[EncodedEntry] = []
    if new_thread:
        found.append(
            encode(Entry(Seq(seq), now, thread, None, events.ThreadCreated(title="Spending")))
        )
    for body in bodies:
        found.append(encode(Entry(Seq(seq + len(found)), now, thread, run, body)))
    return found


class Writer:
    """One user's engine, reduced to its appends."""

    def __init__(self, store: Store, user: UserId) -> None:
        self.store, self.user = store, user
        self.thread = ThreadId(IDS.new())
        self.number = 0

    async def begin(self) -> Writer:
        self.activation: Activation = await self.store.acquire(self.user, HostId("h"), IDS.mark())
        self.head = int(self.activation.head)
        self.new = self.head == 0
        return self

    async def append_run(self, runs: int = 1) -> None:
        entries: list[EncodedEntry] = []
        for _ in range(runs):
            entries += run_entries(self.head + 1 + len(entries), self.thread, new_thread=self.new)
            self.new = False
        await self.append(entries)

    async def append(self, entries: list[EncodedEntry]) -> None:
        self.number += 1
        await self.store.append(
            Append(
                user=self.user,
                epoch=self.activation.epoch,
                mark=self.activation.mark,
                head=Seq(self.head),
                append_id=AppendId(f"{self.activation.mark}.{self.number}"),
                entries=entries,
                now_ms=time.time_ns() // 1_000_000,
            )
        )
        self.head += len(entries)

    async def end(self) -> None:
        await self.store.release(self.user, self.activation.epoch)


async def fill(path: Path, users: int, entries: int) -> None:
    """Write `entries` of `users`, settled and released."""
    store = await open_store(path, durability="process")
    each = entries // users // RUN_ENTRIES

    async def one(number: int) -> None:
        writer = await Writer(store, UserId(f"user{number:06}")).begin()
        left = each
        while left > 0:
            await writer.append_run(min(left, 50))
            left -= 50
        await writer.end()

    for start in range(0, users, 200):
        await asyncio.gather(*(one(number) for number in range(start, min(start + 200, users))))
    await store.compact()
    await store.close()


async def median_ms(work: Callable[[], Awaitable[Any]], times: int = 1) -> float:
    """The median of some repeats: short operations are noisy."""
    took: list[float] = []
    for _ in range(times):
        began = time.perf_counter()
        await work()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


async def _activate(store: Store) -> list[Writer]:
    """Acquire 50 users who are not in memory."""
    return await asyncio.gather(
        *(Writer(store, UserId(f"user{n * 131 % 10_000:06}")).begin() for n in range(50))
    )


async def _append(writers: list[Writer]) -> None:
    """Ten appends of a run by each, one after the other, on durability full."""

    async def drive(writer: Writer) -> None:
        for _ in range(10):
            await writer.append_run()

    await asyncio.gather(*(drive(writer) for writer in writers))


async def read_all(store: Store, user: UserId, position: Position) -> int:
    count = 0
    while True:
        batch = await store.read(user, position, max_bytes=FRAME_BYTES)
        if batch.to == batch.from_:
            return count
        count += batch.to - batch.from_
        position = Position(batch.mark, batch.to)


async def measure_growth(tell: Callable[[str], None], entries: int = 1_000_000) -> dict[str, Any]:
    """Empty, many users, one user: the same operations on each, in turns."""
    with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as directory:
        paths = {
            "empty": Path(directory) / "empty.db",
            "many": Path(directory) / "many.db",
            "one": Path(directory) / "one.db",
        }
        tell(f"writing {entries} entries of 10,000 users ...")
        await fill(paths["many"], 10_000, entries)
        tell(f"writing {entries} entries of one user ...")
        await fill(paths["one"], 1, entries)
        stores = {name: await open_store(path, durability="full") for name, path in paths.items()}
        tell("measuring ...")
        try:
            return await _measure(stores)
        finally:
            for store in stores.values():
                with contextlib.suppress(Exception):
                    await store.close()


async def _measure(stores: dict[str, Store]) -> dict[str, Any]:
    times: dict[str, dict[str, list[float]]] = {}

    def note(what: str, name: str, value: float) -> None:
        times.setdefault(what, {}).setdefault(name, []).append(value)

    fresh = UserId("fresh")
    for store in stores.values():  # the same small user everywhere, to be resumed and listed
        writer = await Writer(store, fresh).begin()
        for _ in range(10):
            await writer.append_run()
        await writer.end()
        await store.compact()
    for round_ in range(REPEATS + 1):
        for name, store in stores.items():
            writers: list[Writer] = []

            async def activate(s: Store = store, found: list[Writer] = writers) -> None:
                found += await _activate(s)

            activating = await median_ms(activate)
            append = await median_ms(lambda w=writers: _append(w))
            for writer in writers:
                await writer.end()
            settle = await median_ms(store.compact)
            resume = await median_ms(
                lambda s=store: read_all(s, fresh, Position(ORIGIN_MARK, Seq(0))), 30
            )
            threads = await median_ms(lambda s=store: s.threads(fresh, 50, None), 30)
            if round_:  # the first one warms up
                note("activate", name, activating)
                note("append", name, append)
                note("settle", name, settle)
                note("append and settle", name, append + settle)
                note("resume", name, resume)
                note("threads", name, threads)
    big = UserId("user000000")
    one = stores["one"]
    head = (await one.head(big)).cursor
    mark = (await one.head(big)).mark
    behind: list[float] = []
    activate: list[float] = []
    for _ in range(REPEATS):
        behind.append(
            await median_ms(lambda: read_all(one, big, Position(mark, Seq(head - 10_000))))
        )

        async def acquire() -> None:
            activation = await one.acquire(big, HostId("h"), IDS.mark())
            await one.release(big, activation.epoch)

        activate.append(await median_ms(acquire))
    medians = {
        what: {name: statistics.median(values) for name, values in by.items()}
        for what, by in times.items()
    }
    return {
        "medians_ms": medians,
        "ratio_to_empty": {
            what: {name: by[name] / by["empty"] for name in ("many", "one")}
            for what, by in medians.items()
        },
        "resume_10000_behind_ms": statistics.median(behind),
        "activate_one_user_of_1e6_ms": statistics.median(activate),
    }
