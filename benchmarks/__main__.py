"""`make bench`: every figure that README and docs speak of; writes RESULTS.md and results.json."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from typing import Any

from benchmarks.growth import measure_growth
from benchmarks.memory import PIECE, RUNS, USERS, measure_memory
from benchmarks.pages import machine, put_page
from goldenpath.testing.workloads.report import run_workloads, table


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def simulator() -> dict[str, Any]:
    """Seeds per second, and seeds until each planted bug is found."""
    clean = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--seeds", "300"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    planted = subprocess.run(
        [sys.executable, "-m", "tests.simulation", "--planted", "--seeds", "2000"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return {
        "seeds": clean.stdout.strip().splitlines()[-1],
        "planted": planted.stdout.strip().splitlines(),
    }


def main() -> int:
    began = time.monotonic()
    figures = run_workloads(tell)
    growth = asyncio.run(measure_growth(tell))
    memory = measure_memory(tell)
    tell("simulating ...")
    simulated = simulator()
    where = machine("make bench", (time.monotonic() - began) / 60)
    everything = {
        "machine": where,
        "workloads": figures,
        "growth": growth,
        "memory": memory,
        "simulator": simulated,
    }
    text = report(where, figures, growth, memory, simulated)
    put_page(text, everything)
    print(text)
    return 0


def report(
    where: dict[str, Any],
    figures: Any,
    growth: dict[str, Any],
    memory: dict[str, dict[str, float]],
    simulated: dict[str, Any],
) -> str:
    """The figures as a page."""
    rows = [
        f"| {what} | {by['empty']:.2f} | {by['many']:.2f} | {by['one']:.2f} | "
        f"{growth['ratio_to_empty'][what]['many']:.2f} | "
        f"{growth['ratio_to_empty'][what]['one']:.2f} |"
        for what, by in growth["medians_ms"].items()
    ]
    connected = figures["W2 U=500, pair 1"]["connected_user_kib"]
    silent = (memory["read nothing"]["mib"] - memory["read all"]["mib"]) / USERS * 1024
    return "\n".join(
        [
            "# Results",
            "",
            f"Measured on {where['date']} by `{where['command']}` in {where['minutes']:.0f} "
            f"minutes: {where['system']}, {where['cores']} cores, Python {where['python']}. "
            "The machine is shared and noisy: believe ratios within one run, not single numbers. "
            "The server runs on one core, the load on the other; durability is `full` unless a "
            "row says otherwise. The workloads are defined in docs/protocol.md; results.json "
            "beside this page has every number.",
            "",
            "## Workloads",
            "",
            table(figures),
            "",
            f"An idle connected user: {connected:.1f} KiB.",
            "",
            "## Growth",
            "",
            "Milliseconds, medians of five alternating repeats: activating 50 users, 500 appends "
            "of whole runs by them, settling these in the background afterwards, resuming 101 "
            "entries, listing threads; on an empty store, one with 1,000,000 entries of 10,000 "
            "users, one with 1,000,000 entries of one user.",
            "",
            "| operation | empty | many users | one user | many / empty | one / empty |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
            *rows,
            "",
            f"Resuming 10,000 entries behind: {growth['resume_10000_behind_ms']:.1f} ms. "
            f"Activating the user with 1,000,000 entries: "
            f"{growth['activate_one_user_of_1e6_ms']:.1f} ms.",
            "",
            "## Memory",
            "",
            f"MiB that {USERS} users add to a server. Those with runs have had {RUNS} each, of "
            f"{100 * PIECE / 1e6:.1f} MB of answer; their engines have gone away, their sockets "
            "are still open. What is left then is the store's page caches (32 MiB for writing, 8 "
            "for each reading connection), which do not grow with the number of users.",
            "",
            "| users that | MiB | server's idle CPU % |",
            "| --- | ---: | ---: |",
            *(
                f"| {which} | {by['mib']:.1f} | {by['idle_cpu_percent']:.1f} |"
                for which, by in memory.items()
            ),
            "",
            f"Reading nothing costs {silent:.0f} KiB per user more than reading all.",
            "",
            "## Simulator",
            "",
            simulated["seeds"],
            "",
            "Seeds until each planted bug is found:",
            "",
            "```",
            *simulated["planted"],
            "```",
            "",
        ]
    )


raise SystemExit(main())
