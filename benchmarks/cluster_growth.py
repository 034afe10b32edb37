"""What a PostgreSQL store's size costs: the same operations, small against large.

A user is written by the store itself and copied under other names with COPY, in the order in which
users who talk at the same time would have written, so that a user's rows lie far apart.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg

from benchmarks.growth import RUN_ENTRIES, Writer, median_ms, read_all, run_entries
from goldenpath.engine.ports import SystemIds
from goldenpath.model.ids import HostId, Mark, Seq, UserId
from goldenpath.store.interface import HostReport, Position
from goldenpath.store.postgres import PostgresStore, migrate, open_store
from goldenpath.testing.postgres import PostgresServer

USERS = 10_000
SIZES = (100_000, 1_000_000, 10_000_000)
ROUNDS = 15
_TABLES = ("users", "marks", "threads", "runs", "receipts", "chunks")
_NAME = "u0000000"
"""In every id of the user that is copied; the number of the copy takes its place."""
_ENTRIES_OF_AN_APPEND = 2
"""As under W1: about twelve entries in six appends."""
_HOST = HostId("benchmark")


class _Named(SystemIds):
    """Ids as long as real ones that show whose they are."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def new(self) -> str:
        self._count += 1
        return f"{_NAME}-{self._count:027}"


async def _write_one(store: PostgresStore, runs: int) -> list[int]:
    """The user who is copied; gives the head after each run."""
    ids = _Named()
    writer = await Writer(store, UserId(_NAME)).begin()
    writer.thread = type(writer.thread)(ids.new())
    heads: list[int] = []
    for _ in range(runs):
        entries = run_entries(writer.head + 1, writer.thread, new_thread=writer.new, ids=ids)
        writer.new = False
        for at in range(0, len(entries), _ENTRIES_OF_AN_APPEND):
            part = entries[at : at + _ENTRIES_OF_AN_APPEND]
            await writer.append(part)
        heads.append(writer.head)
    await writer.end()
    return heads


def _copied(row: dict[str, Any], number: int) -> tuple[Any, ...]:
    name = f"u{number:07}"
    old, new = _NAME.encode(), name.encode()
    values: list[Any] = []
    for column, value in row.items():
        if column == "user_no":
            values.append(number + 1)
        elif isinstance(value, str):
            values.append(value.replace(_NAME, name))
        elif isinstance(value, bytes):
            values.append(value.replace(old, new))
        else:
            values.append(value)
    return tuple(values)


async def fill(url: str, users: int, runs: int) -> None:
    """Make a database with `users` users of `runs` runs each."""
    await migrate(url)
    store = await open_store(url)
    heads = await _write_one(store, runs)
    await store.close()
    connection = await asyncpg.connect(url)
    template = {table: await _template(connection, table) for table in _TABLES}
    for table in _TABLES:
        await connection.execute(f"DELETE FROM goldenpath.{table}")
    await connection.close()
    for run in range(runs):
        after, upto = heads[run - 1] if run else 0, heads[run]

        def of_run(row: dict[str, Any], after: int = after, upto: int = upto) -> bool:
            return after < (row.get("last_seq") or upto) <= upto

        rows = {
            table: [row for at, row in enumerate(found) if _belongs(table, at, row, run, of_run)]
            for table, found in template.items()
        }
        if run % 10 == 0:  # a backend each, for both cores
            connections = {table: await asyncpg.connect(url) for table in _TABLES}
        await asyncio.gather(
            *(_copy(connections[table], table, rows[table], users) for table in _TABLES)
        )
        if run % 10 == 9 or run == runs - 1:
            for one in connections.values():
                await one.close()
    connection = await asyncpg.connect(url, command_timeout=None)
    await connection.execute(
        "SELECT setval(pg_get_serial_sequence('goldenpath.users', 'user_no'), $1::bigint)",
        users + 1,
    )
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


def _belongs(
    table: str, at: int, row: dict[str, Any], run: int, of_run: Callable[[dict[str, Any]], bool]
) -> bool:
    if table in ("chunks", "runs"):
        return of_run(row)
    return at == run  # a receipt for each run; one user, mark and thread


async def _template(connection: Any, table: str) -> list[dict[str, Any]]:
    order = {"chunks": "last_seq", "runs": "first_seq", "receipts": "command_id"}.get(table, "1")
    rows = await connection.fetch(f"SELECT * FROM goldenpath.{table} ORDER BY {order}")
    found = [dict(row) for row in rows]
    for row in found:
        if table == "runs":  # somebody has received them
            row["undelivered"], row["notice_ms"] = False, None
    return found


async def _copy(connection: Any, table: str, rows: list[dict[str, Any]], users: int) -> None:
    if not rows:
        return

    def records() -> Iterator[tuple[Any, ...]]:
        for number in range(users):
            for row in rows:
                yield _copied(row, number)

    if table == "users":  # its number is made by the database, unless one insists
        columns = ", ".join(rows[0])
        places = ", ".join(f"${n}" for n in range(1, len(rows[0]) + 1))
        await connection.executemany(
            f"INSERT INTO goldenpath.users ({columns}) OVERRIDING SYSTEM VALUE VALUES ({places})",
            records(),
        )
        return
    await connection.copy_records_to_table(
        table, schema_name="goldenpath", columns=list(rows[0]), records=records()
    )


# -- measuring -------------------------------------------------------------------------------


async def measure_growth(
    server: PostgresServer,
    tell: Callable[[str], None],
    *,
    sizes: tuple[int, ...] = SIZES,
    users: int = USERS,
    rounds: int = ROUNDS,
) -> dict[str, Any]:
    """An empty store and filled ones, in turns; `users` of them each."""
    stores: dict[str, PostgresStore] = {}
    bytes_: dict[str, int] = {}
    seconds: dict[str, float] = {}
    try:
        for size in (0, *sizes):
            name = f"size{size}"
            began = time.monotonic()
            server.sql(f"CREATE DATABASE {name}")
            url = server.url(name)
            if size:
                tell(f"filling a store with {size:,} entries ...")
                await fill(url, users, max(size // users // RUN_ENTRIES, 1))
            else:
                await migrate(url)
            seconds[str(size)] = time.monotonic() - began
            bytes_[str(size)] = int(server.sql(f"SELECT pg_database_size('{name}')"))
            stores[str(size)] = await open_store(url)
            await stores[str(size)].renew(_HOST, HostReport())
        tell("measuring what their sizes cost ...")
        medians, ratios = await _measured(stores, users, rounds)
        counted = {
            size: int(server.sql("SELECT sum(head) FROM goldenpath.users", f"size{size}"))
            for size in stores
        }
    finally:
        for store in stores.values():
            await store.close()
        for size in stores:
            server.sql(f"DROP DATABASE size{size} WITH (FORCE)")
    return {
        "medians_ms": medians,
        "ratio_to_empty": ratios,
        "megabytes": {size: value / 1e6 for size, value in bytes_.items()},
        "seconds_to_fill": seconds,
        "entries_at_the_end": counted,
    }


Measured = dict[str, dict[str, float]]


async def _measured(
    stores: dict[str, PostgresStore], users: int, rounds: int
) -> tuple[Measured, Measured]:
    times: dict[str, dict[str, list[float]]] = {}
    fresh = UserId("fresh")
    heads: dict[str, Position] = {}
    for size, store in stores.items():  # the same small user everywhere, to be resumed and listed
        writer = await Writer(store, fresh).begin()
        for _ in range(10):
            await writer.append_run()
        await writer.end()
        heads[size] = await store.head(fresh)
    for number in range(rounds + 2):
        order = list(stores.items())
        for size, store in order[number % len(order) :] + order[: number % len(order)]:
            await store.renew(_HOST, HostReport())
            cursor = heads[size]
            near = Position(Mark(cursor.mark), Seq(cursor.cursor - 20))
            writers: list[Writer] = []

            async def activate(s: PostgresStore = store, found: list[Writer] = writers) -> None:
                found += await _activate(s, users)

            took = {
                "activate 50 users": await median_ms(activate),
                "500 appends of 50 users": await median_ms(lambda w=writers: _append(w)),
                "resume 20 entries behind": await median_ms(
                    lambda s=store, p=near: read_all(s, fresh, p), 30
                ),
                "list threads": await median_ms(lambda s=store: s.threads(fresh, 50, None), 30),
            }
            for writer in writers:
                await writer.end()
            if number > 1:  # the first rounds warm up
                for what, value in took.items():
                    times.setdefault(what, {}).setdefault(size, []).append(value)
    medians = {
        what: {size: statistics.median(values) for size, values in by.items()}
        for what, by in times.items()
    }
    ratios = {  # of each round, since the machine's speed changes from one to the next
        what: {
            size: statistics.median(a / b for a, b in zip(values, by["0"], strict=True))
            for size, values in by.items()
        }
        for what, by in times.items()
    }
    return medians, ratios


async def _activate(store: PostgresStore, users: int) -> list[Writer]:
    """Acquire 50 users who are not in memory."""
    names = (UserId(f"u{n * 131 % users:07}") for n in range(50))
    return await asyncio.gather(*(Writer(store, name).begin() for name in names))


async def _append(writers: list[Writer]) -> None:
    """Ten appends of a run by each, one after the other."""

    async def drive(writer: Writer) -> None:
        for _ in range(10):
            await writer.append_run()

    work: list[Awaitable[None]] = [drive(writer) for writer in writers]
    await asyncio.gather(*work)
