"""Runs the workloads and tells their figures: as a table, and as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

from goldenpath.testing.workloads.drive import measure

Figures = dict[str, dict[str, Any]]

W2_LIMITS = {"piece_lag_p99_ms": 100.0, "first_event_p99_ms": 250.0, "longest_run_seconds": 2.2}


def fits(result: dict[str, Any]) -> bool:
    """True if a W2 run kept every bound of the workload."""
    return not result["bad_frames_or_runs"] and all(
        result[name] <= most for name, most in W2_LIMITS.items()
    )


def run_workloads(tell: Callable[[str], None], *, quick: bool = False) -> Figures:
    """W1 and W2 against the real server and the raw baseline. About six minutes; `quick` two."""
    figures: Figures = {}

    def take(name: str, kind: str, workload: str, users: int, runs: int) -> dict[str, Any]:
        tell(f"{name} ...")
        figures[name] = measure(kind, workload, users, runs)
        return figures[name]

    runs = 10 if quick else 60
    take("W1 U=50", "real", "W1", 50, runs)
    take("W1 U=50, raw baseline", "raw", "W1", 50, runs)
    take("W1 U=50, durability process", "process", "W1", 50, runs)
    take("W2 U=50", "real", "W2", 50, 2 if quick else 6)
    largest = 0
    for users in (100, 250) if quick else (200, 300, 400, 500, 600):
        # A second try, for one hiccup of a shared machine is longer than a run may take.
        for name in (f"W2 U={users}", f"W2 U={users}, second try"):
            if fits(take(name, "real", "W2", users, 5)):
                largest = users
                break
        if largest != users:
            break
    figures["W2 largest"] = {"users": largest}
    figures["W2 CPU per run, real / raw"] = _compared(take, 100 if quick else 500, 3)
    return figures


def _compared(take: Callable[..., dict[str, Any]], users: int, pairs: int) -> dict[str, float]:
    """The median of alternating pairs, for the machine's speed changes within minutes."""
    ratios: list[float] = []
    for number in range(1, pairs + 1):
        real = take(f"W2 U={users}, pair {number}", "real", "W2", users, 3)
        raw = take(f"W2 U={users}, pair {number}, raw baseline", "raw", "W2", users, 3)
        ratios.append(real["server_cpu_ms_per_run"] / raw["server_cpu_ms_per_run"])
    return {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


_COLUMNS = (
    ("runs/s", "runs_per_second", "{:.0f}"),
    ("pieces/s", "pieces_per_second", "{:.0f}"),
    ("first event p50 ms", "first_event_p50_ms", "{:.1f}"),
    ("p99 ms", "first_event_p99_ms", "{:.1f}"),
    ("piece p99 ms", "piece_lag_p99_ms", "{:.1f}"),
    ("longest run s", "longest_run_seconds", "{:.2f}"),
    ("CPU ms/run", "server_cpu_ms_per_run", "{:.2f}"),
    ("bytes/run", "bytes_per_run", "{:.0f}"),
    ("RSS MiB", "server_rss_mib", "{:.0f}"),
    ("bad", "bad_frames_or_runs", "{}"),
)


def table(figures: Figures) -> str:
    """The figures as a Markdown table."""
    lines = ["| workload | " + " | ".join(name for name, _, _ in _COLUMNS) + " |"]
    lines.append("| --- |" + " ---: |" * len(_COLUMNS))
    for name, result in figures.items():
        if "runs" in result:
            cells = " | ".join(text.format(result[key]) for _, key, text in _COLUMNS)
            lines.append(f"| {name} | {cells} |")
    for name, result in figures.items():
        if "runs" not in result:
            lines.append("")
            values = ((k, f"{v:.2f}" if isinstance(v, float) else v) for k, v in result.items())
            lines.append(f"{name}: {', '.join(f'{key} {value}' for key, value in values)}")
    return "\n".join(lines)
