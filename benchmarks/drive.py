"""Starts a server and a load beside it, and takes the server's CPU and memory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import Any

import psutil


def measure(kind: str, workload: str, users: int, runs: int) -> dict[str, Any]:
    """Run one workload against a fresh server of this kind (real, process, raw)."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.server", kind, directory],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert server.stdout is not None
            port = json.loads(server.stdout.readline())["port"]
            return _measured(server.pid, port, workload, users, runs)
        finally:
            server.kill()
            server.wait()


def _measured(pid: int, port: int, workload: str, users: int, runs: int) -> dict[str, Any]:
    process = psutil.Process(pid)
    before_connect = process.memory_info().rss
    load = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load", str(port), workload, str(users), str(runs)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert load.stdin is not None and load.stdout is not None
        load.stdout.readline()
        idle = process.memory_info().rss
        began = process.cpu_times()
        load.stdin.write("\n")
        load.stdin.flush()
        line = load.stdout.readline()
        ended = process.cpu_times()
        result: dict[str, Any] = json.loads(line)
        cpu = ended.user + ended.system - began.user - began.system
        result["server_cpu_seconds"] = cpu
        result["server_cpu_ms_per_run"] = cpu / result["runs"] * 1000
        result["server_cpu_share"] = cpu / result["seconds"]
        result["connected_user_kib"] = (idle - before_connect) / users / 1024
        result["server_rss_mib"] = process.memory_info().rss / 2**20
        return result
    finally:
        load.kill()
        load.wait()


if __name__ == "__main__":
    print(
        json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])), indent=1)
    )
