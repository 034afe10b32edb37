"""The server under load, in a process of its own: the real one, or the raw baseline.

`python -m goldenpath.testing.workloads.server real|process|raw PLACE` prints its port and serves
until its end. PLACE is a directory for a file, or the URL of a store.

The raw baseline has the same server flags, agent coroutine, coalescing and frames to the same
sockets, without store, engine and journal: what delivery alone costs.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import uvicorn

from goldenpath.compose.stores import open_store
from goldenpath.compose.tuning import give_memory_back, tune_interpreter
from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import Agent, AgentRegistry, agent, tool
from goldenpath.engine.host import EngineHost
from goldenpath.engine.limits import Limits
from goldenpath.engine.ports import SystemIds
from goldenpath.model.entries import format_time
from goldenpath.server.app import build_asgi
from goldenpath.server.auth import SecretTokens
from goldenpath.server.settings import ServerSettings

SECRET = "benchmark-secret-of-more-than-32-bytes"
PIECES = 100


def stamp() -> str:
    """A piece of 8 characters that tells when it was written (units of 0.1 ms)."""
    return f"{int(time.monotonic() * 10_000) & 0xFFFFFFF:07x} "


@tool(idempotent=True)
async def lookup(query: str) -> dict[str, str]:
    """Give something back."""
    return {"answer": query}


async def _work(run: Any, message: str) -> None:
    """W1 and W2: the message is the pause between pieces in milliseconds, and their least size."""
    pause_ms, _, size = message.partition(" ")
    pause, width = float(pause_ms) / 1000, int(size or 0)
    await run.think("Looking for the answer")
    await run.call(lookup, query=message)
    began = asyncio.get_running_loop().time()
    for number in range(PIECES):
        await run.write(stamp().ljust(width))
        if pause:
            # A model's pace: pieces come at their times, however late the last one was.
            ahead = began + (number + 1) * pause - asyncio.get_running_loop().time()
            await asyncio.sleep(max(ahead, 0))
        else:
            await asyncio.sleep(0)


@agent("worker", tools=[lookup])
async def worker(run: RunContext, message: str) -> None:
    await _work(run, message)


def agents() -> list[Agent]:
    return [worker]


# -- the raw baseline ----------------------------------------------------------------------------


class _RawRun:
    """What `_work` needs, straight onto a socket."""

    def __init__(self, send: Callable[[bytes, int], Awaitable[None]], ids: SystemIds) -> None:
        self._send = send
        self._ids = ids
        self._seq = 0
        self._thread, self._run, self._part = ids.new(), ids.new(), ids.new()
        self._buffer: list[str] = []
        self._offset = 0
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self.pieces: list[str] = []

    async def event(self, type_: str, data: dict[str, Any]) -> None:
        self._seq += 1
        body = msgspec.json.encode(
            {
                "seq": self._seq,
                "type": type_,
                "time": format_time(time.time_ns() // 1_000_000),
                "thread_id": self._thread,
                "run_id": self._run,
                "data": data,
            }
        )
        frame = b'{"type":"events","mark":"m","from":%d,"to":%d,"hidden":0,"events":[%s]}' % (
            self._seq - 1,
            self._seq,
            body,
        )
        await self._send(frame, self._seq)

    async def think(self, text: str) -> None:
        await self.event("agent_thinking", {"text": text, "step": None})

    async def call(self, called: Any, **arguments: Any) -> Any:
        call_id = self._ids.new()
        shown = {"call_id": call_id, "tool": "lookup", "arguments": arguments}
        await self.event("tool_executing", shown)
        result = await called.function(**arguments)
        await self.event(
            "tool_completed",
            {
                "call_id": call_id,
                "tool": "lookup",
                "status": "ok",
                "result": result,
                "error": None,
                "duration_ms": 0,
                "attempts": 1,
            },
        )
        return result

    async def write(self, text: str) -> None:
        self._buffer.append(text)
        self.pieces.append(text)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(
                math.floor((loop.time() + 0.05) / 0.01) * 0.01, self._flush_soon
            )

    def _flush_soon(self) -> None:
        self._timer = None
        self._task = asyncio.create_task(self.flush())

    async def flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._buffer:
            text = "".join(self._buffer)
            self._buffer.clear()
            offset, self._offset = self._offset, self._offset + len(text)
            await self.event(
                "agent_output",
                {"part_id": self._part, "offset": offset, "text": text, "restart": False},
            )


async def raw_app(scope: Any, receive: Any, send: Any) -> None:
    """One socket: hello, then each `send` runs the agent coroutine straight onto it."""
    ids = SystemIds()
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "goldenpath.v1"})
    tasks: set[asyncio.Task[None]] = set()

    async def text(frame: bytes, _seq: int) -> None:
        await send({"type": "websocket.send", "text": frame.decode()})

    async def run(frame: dict[str, Any]) -> None:
        one = _RawRun(text, ids)
        await one.event(
            "agent_started",
            {
                "agent": "worker",
                "version": "1",
                "message_id": None,
                "parent_run_id": None,
                "deadline_ms": 300000,
            },
        )
        accepted = {
            "type": "accepted",
            "id": frame["id"],
            "thread_id": "t",
            "message_id": "m",
            "run_id": "r",
            "seq": 1,
            "duplicate": False,
        }
        await text(msgspec.json.encode(accepted), 0)
        await _work(one, frame["text"])
        await one.flush()
        await one.event(
            "agent_completed",
            {
                "status": "succeeded",
                "output": "".join(one.pieces),
                "partial": False,
                "error": None,
                "usage": {},
                "duration_ms": 0,
            },
        )

    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            for task in tasks:
                task.cancel()
            return
        frame = msgspec.json.decode(message["text"])
        if frame["type"] == "hello":
            welcome: dict[str, Any] = {
                "type": "welcome",
                "user_id": "u",
                "mark": "0",
                "head": 0,
                "cursor": 0,
                "reset": False,
                "limits": {},
                "agents": [],
                "version": "raw",
            }
            await text(msgspec.json.encode(welcome), 0)
        elif frame["type"] == "send":
            task = asyncio.create_task(run(frame))
            tasks.add(task)
            task.add_done_callback(tasks.discard)


# -- the process ---------------------------------------------------------------------------------


async def main(kind: str, place: str) -> None:
    tune_interpreter()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)

    async def serve(app: Any) -> None:
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="httptools",
            ws="websockets-sansio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            ws_per_message_deflate=False,
            ws_ping_interval=60,
        )
        print(json.dumps({"port": listener.getsockname()[1], "pid": os.getpid()}), flush=True)
        await uvicorn.Server(config).serve(sockets=[listener])

    if kind == "raw":
        await serve(raw_app)
        return
    durability = "process" if kind == "process" else "full"
    url = place if "://" in place else f"sqlite:///{(Path(place) / 'bench.db').resolve()}"
    store = await open_store(url, durability)
    host = EngineHost(store, AgentRegistry(agents()), limits=Limits(commands_per_minute=1_000_000))
    async with host.running():
        trimming = asyncio.create_task(give_memory_back())
        await serve(build_asgi(host, SecretTokens(SECRET), ServerSettings()))
        trimming.cancel()
    await store.close()


def pin(core: int) -> None:
    """Stay on one core, where the system lets us choose and has as many."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[core % len(cores)]})


if __name__ == "__main__":
    pin(0)
    asyncio.run(main(sys.argv[1], sys.argv[2]))
