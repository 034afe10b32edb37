"""Users under load: sockets of a process of its own, and what they measured.

`python -m goldenpath.testing.workloads.load PORT W1|W2 USERS RUNS [FIRST]` prints one JSON object;
FIRST is the number of its first user, where several loads meet one store.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import jwt
import msgspec
import websockets

from goldenpath.testing.workloads.server import PIECES, SECRET, pin


class _Event(msgspec.Struct):
    seq: int
    type: str
    data: msgspec.Raw


class _Output(msgspec.Struct):
    text: str


class _Frame(msgspec.Struct):
    type: str
    from_: int = msgspec.field(name="from", default=0)
    to: int = 0
    hidden: int = 0
    events: list[_Event] = []


class User:
    """One user with one socket, who asks one thing after the other."""

    def __init__(self, number: int, port: int, pause_ms: int) -> None:
        self.name = f"bench{number}"
        self.port = port
        self.pause_ms = pause_ms
        self.first_event: list[float] = []
        self.piece_lag: list[float] = []
        self.run_seconds: list[float] = []
        self.bytes = 0
        self.events = 0
        self.bad = 0
        self._decode = msgspec.json.Decoder(_Frame).decode
        self._output = msgspec.json.Decoder(_Output).decode

    async def connect(self) -> None:
        token = jwt.encode({"sub": self.name, "exp": time.time() + 3600}, SECRET, "HS256")
        self.socket = await websockets.connect(
            f"ws://127.0.0.1:{self.port}/v1/socket",
            subprotocols=["goldenpath.v1", f"goldenpath.token.{token}"],  # type: ignore[list-item]
            compression=None,
            ping_interval=None,
            max_size=None,
            open_timeout=60,
        )
        await self.socket.send('{"type":"hello","device":"bench","cursor":null}')
        welcome = json.loads(await self.socket.recv())
        self.cursor = welcome["cursor"]
        self.thread: str | None = None

    async def ask(self, number: int) -> None:
        """One run, from send to its end."""
        sent = time.monotonic()
        frame = {"type": "send", "id": f"c{number}-{int(sent * 1e6)}", "thread_id": self.thread,
                 "text": str(self.pause_ms)}  # fmt: skip
        await self.socket.send(json.dumps(frame))
        started: float | None = None
        accepted = False
        pieces = 0
        ended = False
        while not (ended and accepted):
            data = await self.socket.recv(decode=False)
            now = time.monotonic()
            self.bytes += len(data)
            frame_in = self._decode(data)
            if frame_in.type == "accepted":
                accepted = True
                if self.thread is None:
                    found = json.loads(data)["thread_id"]
                    self.thread = found if found != "t" else None
            if frame_in.type == "refused":
                raise RuntimeError(data.decode())
            if frame_in.type != "events":
                continue
            if frame_in.to - frame_in.from_ != len(frame_in.events) + frame_in.hidden:
                self.bad += 1
            for event in frame_in.events:
                self.events += 1
                if event.type == "agent_started":
                    started = now
                    self.first_event.append(now - sent)
                elif event.type == "agent_output":
                    text = self._output(event.data).text
                    stamp = int(now * 10_000) & 0xFFFFFFF
                    for at in range(0, len(text), 8):
                        self.piece_lag.append((stamp - int(text[at : at + 7], 16)) / 10_000)
                        pieces += 1
                elif event.type == "agent_completed":
                    ended = True
                    self.run_seconds.append(now - (started or sent))
        if pieces != PIECES:
            self.bad += 1


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of the values lie."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else float("nan")


async def main(port: int, workload: str, users: int, runs: int, first_user: int = 0) -> None:
    pause = 0 if workload == "W1" else 20
    everyone = [User(first_user + number, port, pause) for number in range(users)]
    for start in range(0, users, 25):
        await asyncio.gather(*(user.connect() for user in everyone[start : start + 25]))
    print(json.dumps({"connected": users}), flush=True)
    sys.stdin.readline()

    async def drive(index: int, user: User) -> None:
        if pause:
            await asyncio.sleep(2.0 * index / users)  # starts spread evenly over a run's length
        for number in range(runs):
            await user.ask(number)

    began = time.monotonic()
    await asyncio.gather(*(drive(index, user) for index, user in enumerate(everyone)))
    seconds = time.monotonic() - began
    first = [v for user in everyone for v in user.first_event]
    lag = [v for user in everyone for v in user.piece_lag]
    lengths = [v for user in everyone for v in user.run_seconds]
    result: dict[str, Any] = {
        "users": users,
        "runs": users * runs,
        "seconds": seconds,
        "runs_per_second": users * runs / seconds,
        "pieces_per_second": users * runs * PIECES / seconds,
        "first_event_p50_ms": percentile(first, 0.5) * 1000,
        "first_event_p99_ms": percentile(first, 0.99) * 1000,
        "piece_lag_p50_ms": percentile(lag, 0.5) * 1000,
        "piece_lag_p99_ms": percentile(lag, 0.99) * 1000,
        "longest_run_seconds": max(lengths),
        "bytes_per_run": sum(user.bytes for user in everyone) / (users * runs),
        "bad_frames_or_runs": sum(user.bad for user in everyone),
    }
    print(json.dumps(result), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    pin(1)
    asyncio.run(main(int(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:])))
