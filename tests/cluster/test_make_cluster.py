"""`make cluster`, as somebody who tries it: ask, kill a host in mid-answer, kill the primary, ask."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from goldenpath.client import Client
from goldenpath.model.events import AgentCompleted, AgentOutput
from goldenpath.testing.ports import free_port
from tests.mission_critical.kit import ROOT, eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


class Cluster:
    """The process, and what it prints."""

    def __init__(self, directory: Path) -> None:
        self.port = free_port() - 100  # a few below it are asked for, too
        self.output = directory / "output"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "goldenpath.testing.cluster", "--port", str(self.port)],
                cwd=ROOT, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": "src"},
            )  # fmt: skip

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def told(self, pattern: str) -> str | None:
        """What it printed that fits, the first group."""
        found = re.search(pattern, self.output.read_text())
        return found[1] if found else None

    def pid(self, what: str) -> int:
        found = self.told(rf"kill -9 (\d+) +# {what}")
        assert found is not None
        return int(found)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    try:
        yield cluster
        cluster.process.send_signal(signal.SIGTERM)
        assert cluster.process.wait(60) == 0, cluster.output.read_text()
    finally:
        if cluster.process.poll() is None:
            cluster.process.kill()


async def test_a_host_and_the_primary_are_killed(cluster: Cluster) -> None:
    await eventually(lambda: cluster.told("(serving) http"), cluster.output.read_text())
    async with httpx.AsyncClient(trust_env=False) as web:
        given: Any = (await web.post(f"{cluster.url}/demo/token", json={})).json()
        assert (await web.get(cluster.url)).status_code == 200
    async with Client(cluster.url, given["token"]) as client:
        sent = await client.send("cost by day")
        killed = False
        async for entry in client.run(sent.run_id):
            if isinstance(entry.body, AgentOutput) and not killed:
                killed = True
                os.kill(owner(cluster, given["user_id"]), signal.SIGKILL)
            if isinstance(entry.body, AgentCompleted):
                assert entry.body.status == "succeeded"
                assert "2025-01-01" in entry.body.output
        assert killed
        os.kill(cluster.pid("the primary"), signal.SIGKILL)
        await eventually(lambda: cluster.told("(is made the primary)"))
        async with asyncio.timeout(60):
            sent = await client.send("cost by team")
            async for entry in client.run(sent.run_id):
                if isinstance(entry.body, AgentCompleted):
                    assert entry.body.status == "succeeded"
    await eventually(lambda: cluster.told("(nothing was lost)"))


def owner(cluster: Cluster, user: str) -> int:
    """The process of the host that has a lease: one user asks."""
    store = cluster.told(r"GOLDENPATH_STORE='?(postgresql://[^\s']+)")
    assert store is not None
    done = subprocess.run(
        [sys.executable, "-m", "goldenpath.cli", "hosts", "--store", store],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": "src"},
    )  # fmt: skip
    names = [line.split()[0] for line in done.stdout.splitlines()[1:] if line.split()[3] != "0"]
    return cluster.pid(names[0])
