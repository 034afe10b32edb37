"""`make bench-cluster`: what many hosts on one PostgreSQL do and cost.

Writes a section of its own in RESULTS.md, and `many_hosts` in results.json.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from benchmarks.cluster_growth import USERS, measure_growth
from benchmarks.cluster_hosts import HOSTS, WAYS, measure_hosts
from benchmarks.cluster_load import measure_pairs, measure_together
from benchmarks.pages import machine, put_section
from goldenpath.testing.postgres import PostgresServer

TITLE = "Many hosts (PostgreSQL)"
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "8GB", "track_functions": "pl"}


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> int:
    began = time.monotonic()
    with PostgresServer(durable=True, settings=SETTINGS) as server:
        version = server.sql("SHOW server_version").split()[0]
        figures: dict[str, Any] = {
            "pairs": measure_pairs(server, tell),
            "together": measure_together(server, tell),
            "hosts": asyncio.run(measure_hosts(server, tell)),
            "growth": asyncio.run(measure_growth(server, tell)),
        }
    figures["machine"] = machine("make bench-cluster", (time.monotonic() - began) / 60)
    figures["machine"] |= {"postgresql": version, "settings": SETTINGS}
    text = report(figures)
    put_section(TITLE, text, {"many_hosts": figures})
    print(text)
    return 0


def report(figures: dict[str, Any]) -> str:
    """The figures as a section."""
    where = figures["machine"]
    return "\n".join(
        [
            f"Measured on {where['date']} by `{where['command']}` in {where['minutes']:.0f} minutes: "
            f"PostgreSQL {where['postgresql']} with fsync, {where['system']}, Python "
            f"{where['python']}. Database, hosts and load share {where['cores']} cores, and those "
            "with other work: believe ratios within one run, and no number of more hosts as what "
            "more machines would do.",
            "",
            *_goings(figures["hosts"]),
            *_latency(figures["hosts"]["latency"]),
            *_pairs(figures["pairs"]),
            *_together(figures["together"]),
            *_growth(figures["growth"]),
        ]
    )


def _goings(hosts: dict[str, Any]) -> list[str]:
    return [
        "### Hosts that go",
        "",
        f"Of {HOSTS} hosts with default settings one goes, with a user's open run in each row's "
        "count; the time until a reader at another host, who stays connected, receives the run's "
        "next event (`agent_resumed`): from kill -9, and from the moment when the host says that "
        "it drains.",
        "",
        "| the host goes by | times | runs | p50 ms | p99 ms | longest ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {by['goings']} | {by['count']} | {by['p50_ms']:.0f} | {by['p99_ms']:.0f} "
            f"| {by['most_ms']:.0f} |"
            for name, by in ((name, hosts[name]) for name in WAYS)
        ),
        "",
    ]


def _latency(latency: dict[str, Any]) -> list[str]:
    return [
        "### From host to host",
        "",
        "An append by one host, seen by a reader on a socket of another. Without notifications "
        "(they are hints, and were kept back for this) the reader's host looks by itself every "
        "three seconds.",
        "",
        "| | appends | from its begin p50 ms | p99 ms | from its commit p50 ms | p99 ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {by['from its begin']['count']} | {by['from its begin']['p50_ms']:.1f} | "
            f"{by['from its begin']['p99_ms']:.1f} | {by['from its commit']['p50_ms']:.1f} | "
            f"{by['from its commit']['p99_ms']:.1f} |"
            for name, by in latency.items()
        ),
        "",
    ]


def _pairs(pairs: dict[str, Any]) -> list[str]:
    cpu = pairs["cpu_ms_per_run"]
    return [
        "### A host's CPU, beside SQLite",
        "",
        f"W1, durable, {pairs['pairs']} pairs in turns; CPU of the host's process alone, without "
        f"the database's: {cpu['postgres']:.2f} ms per run on PostgreSQL, {cpu['sqlite']:.2f} on "
        f"SQLite, ratio {pairs['ratio']:.2f} (median of the pairs; {pairs['least']:.2f} to "
        f"{pairs['most']:.2f}).",
        "",
    ]


def _together(together: dict[str, Any]) -> list[str]:
    return [
        "### One, two, four hosts",
        "",
        "The same users under W1, spread over hosts on one database. The two cores are full with "
        "one host already: what is to be seen is what sharing costs.",
        "",
        "| hosts | runs/s | appends/s | appends/run | mean group | round trips/run | "
        "host CPU ms/run | first event p50 ms |",
        "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {count} | {by['runs_per_second']:.0f} | {by['appends_per_second']:.0f} | "
            f"{by['appends_per_run']:.1f} | {by['group_size']:.1f} | "
            f"{by['round_trips_per_run']:.2f} | {by['host_cpu_ms_per_run']:.2f} | "
            f"{by['first_event_p50_ms']:.1f} |"
            for count, by in together.items()
        ),
        "",
    ]


def _growth(growth: dict[str, Any]) -> list[str]:
    sizes = [size for size in growth["megabytes"] if size != "0"]
    heads = " | ".join(f"{int(size):,}" for size in sizes)
    return [
        "### Growth",
        "",
        f"Milliseconds, medians of alternating rounds on warm stores of {USERS:,} users that were "
        "filled by COPY and vacuumed, and on an empty one: "
        + ", ".join(f"{int(s):,} entries are {growth['megabytes'][s]:,.0f} MB" for s in sizes)
        + ". In parentheses the ratio to the empty store, the median of the rounds'.",
        "",
        f"| operation | empty | {heads} |",
        f"| --- | ---: |{' ---: |' * len(sizes)}",
        *(
            f"| {what} | {by['0']:.2f} | "
            + " | ".join(
                f"{by[size]:.2f} ({growth['ratio_to_empty'][what][size]:.2f})" for size in sizes
            )
            + " |"
            for what, by in growth["medians_ms"].items()
        ),
        "",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
