"""Starts a server and a load beside it, and takes the server's CPU and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, user and system, all its threads (Linux: /proc/PID/stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (Linux: /proc/PID/statm)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def measure(
    kind: str, workload: str, users: int, runs: int, *, store: str | None = None
) -> dict[str, Any]:
    """Run one workload against a fresh server of this kind (real, process, raw).

    `store` is the URL of one that is there already; without it the server has a file of its own.
    """
    with (
        tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as directory,
        subprocess.Popen(
            [sys.executable, "-m", "goldenpath.testing.workloads.server", kind, store or directory],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            port = json.loads(server.stdout.readline())["port"]
            return _measured(server.pid, port, workload, users, runs)
        finally:
            server.kill()


def _measured(pid: int, port: int, workload: str, users: int, runs: int) -> dict[str, Any]:
    before_connect = resident_bytes(pid)
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "goldenpath.testing.workloads.load",
            str(port),
            workload,
            str(users),
            str(runs),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as load:
        try:
            assert load.stdin is not None and load.stdout is not None
            load.stdout.readline()
            idle, began = resident_bytes(pid), cpu_seconds(pid)
            load.stdin.write("\n")
            load.stdin.flush()
            result: dict[str, Any] = json.loads(load.stdout.readline())
            cpu = cpu_seconds(pid) - began
            result["server_cpu_seconds"] = cpu
            result["server_cpu_ms_per_run"] = cpu / result["runs"] * 1000
            result["server_cpu_share"] = cpu / result["seconds"]
            result["connected_user_kib"] = (idle - before_connect) / users / 1024
            result["server_rss_mib"] = resident_bytes(pid) / 2**20
            return result
        finally:
            load.kill()
