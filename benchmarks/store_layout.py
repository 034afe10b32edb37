"""Why the embedded store keeps an arrival-ordered tail: both layouts, empty and with a million entries.

`clustered` writes each append where it belongs, a table in the order of (user, seq), with the
compare-and-set in SQL. `tail` is the store as it is: a redo log of groups, settled in the
background. Same machine, same pragmas, same group commit, alternating repeats.

    python benchmarks/store_layout.py [--entries 1000000] [--users 10000] [--repeats 5] [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import apsw

from goldenpath.model import events
from goldenpath.model.entries import EncodedEntry, Entry, encode
from goldenpath.model.ids import AppendId, HostId, Mark, Seq, ThreadId, UserId
from goldenpath.store.interface import Append, Position
from goldenpath.store.sqlite import SqliteStore, open_store
from goldenpath.store.sqlite.connection import connect

PER_APPEND = 5
AT_ONCE = 50
TEXT = b'{"seq":%d,"type":"agent_output","time":"2026-01-02T03:04:05.678Z",' + (
    b'"thread_id":"01890a5d-ac96-774b-bcce-b302099a8057",'
    b'"run_id":"01890a5d-ac96-774b-bcce-b302099a8058","data":{"part_id":'
    b'"01890a5d-ac96-774b-bcce-b302099a8059","offset":100,"text":"about forty characters of an'
    b' answer here","restart":false}}'
)


class Layout(Protocol):
    """What is measured: appends of one user at a time, checked against its head."""

    async def begin(self, user: str) -> int: ...
    async def append(self, user: str, head: int, entries: Sequence[EncodedEntry]) -> None: ...
    async def close(self) -> None: ...


class Clustered:
    """One table in the order of (user, seq); everything that waits is one transaction."""

    def __init__(self, path: Path) -> None:
        self._connection = connect(path)
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS heads (user TEXT PRIMARY KEY, head INTEGER) WITHOUT ROWID;"
            "CREATE TABLE IF NOT EXISTS entries (user TEXT, seq INTEGER, type TEXT, internal INTEGER,"
            " json BLOB, PRIMARY KEY (user, seq)) WITHOUT ROWID"
        )
        self._thread = ThreadPoolExecutor(1)
        self._waiting: list[tuple[str, int, Sequence[EncodedEntry], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._written = 0

    async def begin(self, user: str) -> int:
        found = self._connection.execute("SELECT head FROM heads WHERE user = ?", (user,)).get
        return int(found or 0)

    async def append(self, user: str, head: int, entries: Sequence[EncodedEntry]) -> None:
        future = asyncio.get_running_loop().create_future()
        self._waiting.append((user, head, entries, future))
        if self._task is None:
            self._task = asyncio.create_task(self._commit())
        await future

    async def close(self) -> None:
        self._thread.shutdown()
        self._connection.close()

    async def _commit(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)
        while self._waiting:
            group, self._waiting = self._waiting, []
            await loop.run_in_executor(self._thread, self._write, group)
            for _, _, _, future in group:
                future.set_result(None)
            await asyncio.sleep(0)
        self._task = None

    def _write(
        self, group: list[tuple[str, int, Sequence[EncodedEntry], asyncio.Future[None]]]
    ) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for user, head, entries, _ in group:
            found = connection.execute("SELECT head FROM heads WHERE user = ?", (user,)).get
            assert (found or 0) == head
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
                [(user, e.seq, e.type, e.internal, e.json) for e in entries],
            )
            connection.execute("REPLACE INTO heads VALUES (?, ?)", (user, head + len(entries)))
            self._written += 200 * len(entries)
        connection.execute("COMMIT")
        if self._written > 16 * 1024 * 1024:
            self._written = 0
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


class Tail:
    """The store as it is."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self._epochs: dict[str, tuple[int, Mark]] = {}

    async def begin(self, user: str) -> int:
        mark = Mark(f"{user}-{time.monotonic_ns()}")
        found = await self.store.acquire(UserId(user), HostId("bench"), mark)
        self._epochs[user] = found.epoch, mark
        return found.head

    async def append(self, user: str, head: int, entries: Sequence[EncodedEntry]) -> None:
        epoch, mark = self._epochs[user]
        await self.store.append(
            Append(
                user=UserId(user),
                epoch=epoch,
                mark=mark,
                head=Seq(head),
                append_id=AppendId(f"{mark}-{head}"),
                entries=entries,
                now_ms=0,
            )
        )

    async def end(self, users: Sequence[str]) -> None:
        for user in users:
            await self.store.release(UserId(user), self._epochs[user][0])

    async def close(self) -> None:
        await self.store.close()


async def drive(layout: Layout, users: Sequence[str], appends: int) -> tuple[float, float]:
    """(appends/s, p99 in ms) of `AT_ONCE` writers over users that are ready to write."""
    heads = {user: await layout.begin(user) for user in users}
    waits: list[float] = []

    async def writer(own: Sequence[str]) -> None:
        for number in range(appends // AT_ONCE):
            user = own[number % len(own)]
            head = heads[user]
            entries = [
                EncodedEntry(seq, "agent_output", False, TEXT % seq)
                for seq in range(head + 1, head + 1 + PER_APPEND)
            ]
            began = time.perf_counter()
            await layout.append(user, head, entries)
            waits.append(time.perf_counter() - began)
            heads[user] = head + PER_APPEND

    began = time.perf_counter()
    await asyncio.gather(*(writer(users[number::AT_ONCE]) for number in range(AT_ONCE)))
    seconds = time.perf_counter() - began
    if isinstance(layout, Tail):
        await layout.end(users)
    return len(waits) / seconds, statistics.quantiles(waits, n=100)[98] * 1000


@dataclass
class Case:
    """A layout, empty or full, and its repeats."""

    name: str
    full: bool
    rates: list[float]
    waits: list[float]

    def row(self) -> dict[str, object]:
        return {
            "layout": self.name,
            "entries": "full" if self.full else "empty",
            "appends_per_s": round(statistics.median(self.rates)),
            "p99_ms": round(statistics.median(self.waits), 2),
        }


async def make(name: str, path: Path) -> Layout:
    return Clustered(path) if name == "clustered" else Tail(await open_store(path))


async def fill(layout: Layout, users: int, entries: int) -> None:
    """Give every user the same number of entries, in turns, as they would arrive."""
    names = [f"user-{number:06d}" for number in range(users)]
    await drive(layout, names, entries // PER_APPEND)
    if isinstance(layout, Tail):
        await layout.store.compact()


async def compare(folder: Path, options: argparse.Namespace) -> list[Case]:
    """Alternate between the layouts, empty and full."""
    cases = {
        (name, full): Case(name, full, [], [])
        for name in ("clustered", "tail")
        for full in (False, True)
    }
    for name in ("clustered", "tail"):
        layout = await make(name, folder / f"{name}-full.db")
        await fill(layout, options.users, options.entries)
        await layout.close()
    chosen = random.Random(1)
    for repeat in range(options.repeats):
        for (name, full), case in cases.items():
            path = folder / (f"{name}-full.db" if full else f"{name}-{repeat}.db")
            layout = await make(name, path)
            numbers = chosen.sample(range(options.users), min(1000, options.users))
            rate, wait = await drive(
                layout, [f"user-{number:06d}" for number in numbers], options.appends
            )
            case.rates.append(rate)
            case.waits.append(wait)
            await layout.close()
    return list(cases.values())


async def timed(action: Callable[[], object], repeats: int) -> float:
    """Median of an awaited action, in ms."""
    found: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        await action()  # type: ignore[misc]
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


async def one_user(folder: Path, entries: int, repeats: int) -> dict[str, float]:
    """A user with all entries: activation, resuming 10,000 behind, the list of threads."""
    store = await open_store(folder / f"one-user-{entries}.db")
    layout = Tail(store)
    user = UserId("whale")
    head = await layout.begin(user)
    for number in range(200):
        entry = Entry(
            Seq(head + 1), number, ThreadId(f"t{number}"), None, events.ThreadCreated(title="T")
        )
        await layout.append(user, head, [encode(entry)])
        head += 1
    while head < entries:
        batch = [
            EncodedEntry(seq, "agent_output", False, TEXT % seq)
            for seq in range(head + 1, head + 1 + 500)
        ]
        await layout.append(user, head, batch)
        head += len(batch)
    await layout.end([user])
    await store.compact()
    mark = (await store.head(user)).mark
    behind = Position(mark, Seq(max(head - 10_000, 0)))

    async def activate() -> None:
        await layout.begin(user)
        await layout.end([user])

    async def append() -> None:
        nonlocal head
        await layout.append(user, head, [EncodedEntry(head + 1, "agent_output", False, TEXT % 1)])
        head += 1

    figures = {
        "entries": float(head),
        "activate_ms": await timed(activate, repeats),
        "resume_10000_ms": await timed(lambda: store.read(user, behind, 10_000, 64 << 20), repeats),
        "thread_list_ms": await timed(lambda: store.threads(user, 50, None), repeats),
    }
    await layout.begin(user)
    figures["append_ms"] = await timed(append, 20 * repeats)
    await layout.close()
    return figures


def table(rows: Sequence[dict[str, object]]) -> str:
    """Rows as a table for people."""
    names = list(rows[0])
    cells = [names, *[[str(row[name]) for name in names] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in cells
    )


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--appends", type=int, default=10_000, help="appends in each repeat")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="goldenpath-layout-"))
    try:
        cases = await compare(folder, options)
        rows = [case.row() for case in cases]
        medians = {(case.name, case.full): statistics.median(case.rates) for case in cases}
        ratios = {
            "clustered_full_to_empty": medians["clustered", True] / medians["clustered", False],
            "tail_full_to_empty": medians["tail", True] / medians["tail", False],
            "tail_to_clustered_empty": medians["tail", False] / medians["clustered", False],
            "tail_to_clustered_full": medians["tail", True] / medians["clustered", True],
        }
        users = [
            {key: round(value, 3) for key, value in found.items()}
            for found in [
                await one_user(folder, 10_200, options.repeats),
                await one_user(folder, options.entries, options.repeats),
            ]
        ]
    finally:
        shutil.rmtree(folder)
    print(table(rows))
    print("\n".join(f"{name:26} {value:.2f}" for name, value in ratios.items()))
    print(table(users))
    result = {
        "layouts": rows,
        "ratios": {name: round(value, 3) for name, value in ratios.items()},
        "one_user": users,
        "sqlite": apsw.sqlite_lib_version(),
    }
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
