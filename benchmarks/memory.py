"""What users cost in memory: connected and idle, after their runs, and when they read nothing.

Each population has a server process of its own; resident memory is taken before it connects and
at its end, when the engines have gone away.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Literal

import jwt
import websockets

from goldenpath.compose.tuning import TRIM_SECONDS
from goldenpath.testing.workloads.drive import cpu_seconds, resident_bytes
from goldenpath.testing.workloads.server import SECRET

USERS = 60
RUNS = 4
PIECE = 16 * 1024
"""Each run writes 100 pieces of this many bytes: in all more than any socket's buffers hold."""

Population = Literal["are only connected", "read all", "read nothing"]


async def _connect(port: int, number: int, device: str) -> Any:
    token = jwt.encode({"sub": f"user{number}", "exp": time.time() + 3600}, SECRET, "HS256")
    socket = await websockets.connect(
        f"ws://127.0.0.1:{port}/v1/socket",
        subprotocols=["goldenpath.v1", f"goldenpath.token.{token}"],  # type: ignore[list-item]
        compression=None,
        ping_interval=None,
        max_queue=1,
        max_size=None,
        open_timeout=60,
    )
    hello = {"type": "hello", "device": device, "cursor": 0, "mark": "0"}
    await socket.send(json.dumps(hello))
    await socket.recv()
    return socket


async def _ask(socket: Any, number: int) -> None:
    """One run, seen to its end."""
    frame = {"type": "send", "id": f"c{number}", "thread_id": None, "text": f"0 {PIECE}"}
    await socket.send(json.dumps(frame))
    while b'"agent_completed"' not in await socket.recv(decode=False):
        pass


async def _population(port: int, pid: int, which: Population) -> dict[str, float]:
    before = resident_bytes(pid)
    sockets: list[Any] = []
    for number in range(USERS):
        sockets.append(await _connect(port, number, "first"))
    reading = [asyncio.create_task(_read(s)) for s in sockets if which == "read all"]
    if which != "are only connected":
        # The runs are asked for on sockets that go away: what is left is what the others cost.
        for start in range(0, USERS, 20):
            await asyncio.gather(*(_runs(port, number) for number in range(start, start + 20)))
    # Idle engines are gone, what they wrote is settled, and freed memory was given back.
    await asyncio.sleep(TRIM_SECONDS + 15)
    cpu = cpu_seconds(pid)
    await asyncio.sleep(5)
    result = {
        "mib": (resident_bytes(pid) - before) / (1 << 20),
        "idle_cpu_percent": (cpu_seconds(pid) - cpu) / 5 * 100,
    }
    for task in reading:
        task.cancel()
    for socket in sockets:
        socket.transport.abort()
    return result


async def _read(socket: Any) -> None:
    async for _ in socket:
        pass


async def _runs(port: int, number: int) -> None:
    socket = await _connect(port, number, "second")
    for run in range(RUNS):
        await _ask(socket, run)
    await socket.close()


def measure_memory(tell: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """MiB that each population added to its server, and CPU when nothing happens any more."""
    figures: dict[str, dict[str, float]] = {}
    populations: tuple[Population, ...] = ("are only connected", "read all", "read nothing")
    for which in populations:
        tell(f"memory: {which} ...")
        with tempfile.TemporaryDirectory(dir=".", prefix=".bench-") as directory:
            server = subprocess.Popen(
                [sys.executable, "-m", "goldenpath.testing.workloads.server", "real", directory],
                stdout=subprocess.PIPE,
                stdin=subprocess.DEVNULL,
                text=True,
            )
            try:
                assert server.stdout is not None
                port = json.loads(server.stdout.readline())["port"]
                figures[which] = asyncio.run(_population(port, server.pid, which))
            finally:
                server.kill()
                server.wait()
    return figures


if __name__ == "__main__":
    print(json.dumps(measure_memory(print), indent=1))
