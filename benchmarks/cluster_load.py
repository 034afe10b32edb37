"""W1 on PostgreSQL: what a host pays for it beside SQLite, and what several hosts do together.

Counts come from the database itself: statements of the hosts are its transactions, and it counts
the calls of each function.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from goldenpath.store.postgres import migrate
from goldenpath.testing.postgres import PostgresServer
from goldenpath.testing.workloads.drive import cpu_seconds, measure

USERS = 48
RUNS = 40
PAIRS = 5
HOSTS = (1, 2, 4)
IDLE_SECONDS = 11.0
"""After ten seconds an idle connection adds to the database's counts what it did before."""
_END_SECONDS = 1.0
"""One that ends does so at once."""


def _database(server: PostgresServer, name: str) -> str:
    server.sql(f"CREATE DATABASE {name}")
    asyncio.run(migrate(server.url(name)))
    return server.url(name)


def measure_pairs(
    server: PostgresServer,
    tell: Callable[[str], None],
    *,
    pairs: int = PAIRS,
    users: int = USERS,
    runs: int = RUNS,
) -> dict[str, Any]:
    """CPU of the host's process for W1, PostgreSQL and SQLite in turns."""
    found: dict[str, list[float]] = {"postgres": [], "sqlite": []}
    ratios: list[float] = []
    for number in range(pairs):
        tell(f"W1 on PostgreSQL and on SQLite, {number + 1} of {pairs} ...")
        url = _database(server, f"pair{number}")
        many = measure("real", "W1", users, runs, store=url)
        one = measure("real", "W1", users, runs)
        server.sql(f"DROP DATABASE pair{number} WITH (FORCE)")
        assert not many["bad_frames_or_runs"] and not one["bad_frames_or_runs"]
        found["postgres"].append(many["server_cpu_ms_per_run"])
        found["sqlite"].append(one["server_cpu_ms_per_run"])
        ratios.append(found["postgres"][-1] / found["sqlite"][-1])
    return {
        "cpu_ms_per_run": {name: statistics.median(values) for name, values in found.items()},
        "ratio": statistics.median(ratios),
        "least": min(ratios),
        "most": max(ratios),
        "pairs": pairs,
    }


class _Process:
    """A host or a load: one line when it is ready, one when it has done."""

    def __init__(self, stack: ExitStack, module: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"goldenpath.testing.workloads.{module}", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        stack.enter_context(self.process)
        stack.callback(self.process.kill)

    def line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


def _counts(server: PostgresServer, database: str) -> dict[str, float]:
    row = server.sql(
        "SELECT json_build_object("
        "'statements', (SELECT xact_commit FROM pg_stat_database"
        " WHERE datname = current_database()),"
        "'appends', (SELECT count(*) FROM goldenpath.chunks),"
        "'groups', (SELECT coalesce(sum(calls), 0) FROM pg_stat_user_functions"
        " WHERE funcname = 'append_1'))",
        database,
    )
    return json.loads(row)


def measure_together(
    server: PostgresServer,
    tell: Callable[[str], None],
    *,
    hosts: tuple[int, ...] = HOSTS,
    users: int = USERS,
    runs: int = RUNS,
    idle: float = IDLE_SECONDS,
) -> dict[str, Any]:
    """The same users on one, two, four hosts; the server needs `track_functions`."""
    return {str(count): _together(server, tell, count, users, runs, idle) for count in hosts}


def _together(
    server: PostgresServer,
    tell: Callable[[str], None],
    count: int,
    users: int,
    runs: int,
    idle: float,
) -> dict[str, float]:
    tell(f"W1 on {count} host(s) ...")
    name = f"together{count}"
    url = _database(server, name)
    with ExitStack() as stack:
        hosts = [_Process(stack, "server", "real", url) for _ in range(count)]
        ports = [host.line()["port"] for host in hosts]
        each = users // count
        loads = [
            _Process(stack, "load", str(port), "W1", str(each), str(runs), str(number * each))
            for number, port in enumerate(ports)
        ]
        for load in loads:
            load.line()
        time.sleep(idle)
        before = _counts(server, name)
        pids = [host.process.pid for host in hosts]
        spent = sum(map(cpu_seconds, pids))
        began = time.monotonic()
        for load in loads:
            load.go()
        results = [load.line() for load in loads]
        seconds = time.monotonic() - began
        spent = sum(map(cpu_seconds, pids)) - spent
    time.sleep(_END_SECONDS)
    after = _counts(server, name)
    server.sql(f"DROP DATABASE {name} WITH (FORCE)")
    assert not any(result["bad_frames_or_runs"] for result in results)
    made = {what: after[what] - before[what] for what in after}
    total = each * count * runs
    return {
        "runs_per_second": total / seconds,
        "appends_per_second": made["appends"] / seconds,
        "appends_per_run": made["appends"] / total,
        "group_size": made["appends"] / made["groups"],
        "round_trips_per_run": made["statements"] / total,
        "host_cpu_ms_per_run": spent / total * 1000,
        "first_event_p50_ms": statistics.median(r["first_event_p50_ms"] for r in results),
    }
