"""A real server process, and a client that distrusts it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import httpx
import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from goldenpath.testing.ports import free_port
from tests.mission_critical.places import FilePlace, Place, holds

ROOT = Path(__file__).parents[2]
SECRET = "mission-critical-secret-of-enough-bytes"
BOUND = float(os.environ.get("MISSION_BOUND", "30"))
"""Seconds after which a wait has failed."""
TERMINAL = "agent_completed"
JSON = dict[str, Any]


def token(user: str, *, ttl: float = 3600, secret: str = SECRET, **claims: Any) -> str:
    """A token for a user; `claims` replace or add, None removes."""
    now = int(time.time())
    body: JSON = {"sub": user, "iat": now, "exp": now + ttl, **claims}
    return jwt.encode({k: v for k, v in body.items() if v is not None}, secret, algorithm="HS256")


def new_id() -> str:
    """An id of a client: of a command, a device."""
    return uuid.uuid4().hex


async def eventually(condition: Callable[[], Any | Awaitable[Any]], what: str = "") -> Any:
    """Wait until a condition holds; its value."""
    deadline = time.monotonic() + BOUND
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come to pass: {what or condition}")
        await asyncio.sleep(0.02)


class Server:
    """`goldenpath serve` as a process of its own, with a store that outlives it."""

    def __init__(
        self,
        directory: Path,
        *flags: str,
        target: str = "tests.mission_critical.agents:app",
        place: Place | None = None,
        name: str = "server",
    ) -> None:
        self.directory = directory
        self.effects_file = directory / "effects"
        self.log_file = directory / f"{name}.log"
        self.name = name
        self.place = place or FilePlace(directory)
        self.port = free_port()
        self.ops_port = free_port()
        self.flags = flags
        self.target = target
        self.environment: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None
        (directory / "gates").mkdir(exist_ok=True)

    # -- life --------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    @property
    def store_url(self) -> str:
        return self.place.url

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "GOLDENPATH_AUTH_SECRET": SECRET,
            "MISSION_DIRECTORY": str(self.directory),
            **self.environment,
        }

    def start(self) -> None:
        """Start it, and wait until it can accept."""
        before = self.log_text().count('"serving"')
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "goldenpath.cli", "serve", self.target),
                    *("--port", str(self.port), "--ops-bind", f"127.0.0.1:{self.ops_port}"),
                    *("--store", self.store_url, "--log-format", "json", "--drain", "0s"),
                    *("--name", self.name),
                    *self.flags,
                ],
                cwd=self.directory,
                env=self._environment(),
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + BOUND
        while self.log_text().count('"serving"') <= before:
            assert self._process.poll() is None, self.log_text()
            assert time.monotonic() < deadline, self.log_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to end (SIGTERM), and see that it does, well."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        ended = self._process.wait(BOUND)
        assert ended == 0, f"exit {ended}: {self.log_text()[-4000:]}"

    def freeze(self) -> None:
        """SIGSTOP: nothing of it runs until it is thawed, while time goes on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, as from the kernel; nothing is said or saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Kill and start again: same store, same port."""
        self.kill()
        self.start()

    async def died(self) -> None:
        """Wait until the process has ended by itself."""
        await eventually(lambda: not self.running, "the process dies")

    # -- what it left ------------------------------------------------------------------------

    def log_text(self) -> str:
        """Its diagnostics so far."""
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def logged(self) -> list[JSON]:
        """Its diagnostics, line by line."""
        lines: list[JSON] = []
        for line in self.log_text().splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:
                lines.append({"message": line})
        return lines

    def effects(self, name: str | None = None, **fields: Any) -> list[JSON]:
        """What bodies of tools and agents noted when they were entered."""
        if not self.effects_file.exists():
            return []
        rows = [json.loads(line) for line in self.effects_file.read_text().splitlines()]
        wanted = {**fields, **({} if name is None else {"name": name})}
        return [r for r in rows if all(r.get(k) == v for k, v in wanted.items())]

    def open_gate(self, name: str) -> None:
        """Let pass what waits at a gate of this name."""
        (self.directory / "gates" / name).touch()

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the CLI in the server's directory."""
        return subprocess.run(
            [sys.executable, "-m", "goldenpath.cli", *arguments],
            cwd=self.directory,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=200,
        )

    def journal(self, user: str, type: str, run_id: str | None = None) -> list[JSON]:
        """Internal entries of one type, as `goldenpath log` shows them to an operator."""
        done = self.command("log", user, "--internal", "--json", "--store", self.store_url)
        assert done.returncode == 0, done.stderr
        entries = [json.loads(line) for line in done.stdout.splitlines()]
        return [e for e in entries if e["type"] == type and run_id in (None, e.get("run_id"))]

    def check(self) -> None:
        """`goldenpath check` finds nothing."""
        done = self.command("check", "--store", self.store_url)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def files_hold(self, text: str) -> list[str]:
        """Which of the store's files hold this text, in any of three encodings."""
        return [path.name for path in self.place.files() if holds(path, text)]

    # -- asking ------------------------------------------------------------------------------

    def http(self, user: str | None = None, *, bearer: str | None = None) -> httpx.AsyncClient:
        """An HTTP client for a user."""
        if bearer is None and user is not None:
            bearer = token(user)
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=BOUND)

    async def metrics(self) -> dict[str, float]:
        """The operator's numbers, by name with labels."""
        async with httpx.AsyncClient(trust_env=False, timeout=BOUND) as web:
            text = (await web.get(f"{self.ops_url}/metrics")).text
        numbers: dict[str, float] = {}
        for line in text.splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                numbers[name] = float(value)
        return numbers

    async def history(self, user: str, thread_id: str) -> JSON:
        """A thread as HTTP tells it."""
        async with self.http(user) as web:
            answer = await web.get(f"/v1/threads/{thread_id}/messages")
            assert answer.status_code == 200, answer.text
            return answer.json()

    async def run(self, user: str, run_id: str) -> JSON:
        """A run as HTTP tells it."""
        async with self.http(user) as web:
            answer = await web.get(f"/v1/runs/{run_id}")
            assert answer.status_code == 200, answer.text
            return answer.json()


class Log:
    """What one reader knows of its user's log; believes no frame that does not add up."""

    def __init__(self, user: str, cursor: int | None = 0, mark: str | None = None) -> None:
        self.user = user
        self.cursor = cursor
        self.mark = mark
        self.events: list[JSON] = []
        self.frames = 0
        self.hidden = 0
        self.resets = 0
        self._from_origin = cursor == 0
        self._threads: set[str] = set()

    def welcome(self, frame: JSON) -> None:
        assert frame["user_id"] == self.user, frame
        if frame["reset"]:
            self.resets += 1
            self.events.clear()
            self._from_origin = False
        elif self.cursor is not None:
            assert frame["cursor"] == self.cursor, (frame, self.cursor)
        assert frame["cursor"] <= frame["head"], frame
        self.cursor, self.mark = frame["cursor"], frame["mark"]

    def take(self, frame: JSON) -> list[JSON]:
        """Apply a frame of events: no gap, no repeat, nothing foreign."""
        assert frame["from"] == self.cursor, (frame["from"], self.cursor)
        new: list[JSON] = frame["events"]
        assert frame["to"] > frame["from"], frame
        assert frame["to"] - frame["from"] == len(new) + frame["hidden"], frame
        last = frame["from"]
        for event in new:
            assert last < event["seq"] <= frame["to"], (last, event)
            last = event["seq"]
            self._own(event)
        self.events.extend(new)
        self.cursor, self.mark = frame["to"], frame["mark"]
        self.frames += 1
        self.hidden += frame["hidden"]
        return new

    def _own(self, event: JSON) -> None:
        """Every thread of this log was created in this log."""
        thread = event["thread_id"]
        if event["type"] == "thread_created":
            assert thread not in self._threads, event
            self._threads.add(thread)
        elif thread is not None and self._from_origin:
            assert thread in self._threads, f"a foreign event: {event}"

    def of(self, run_id: str) -> list[JSON]:
        """The events of one run."""
        return [e for e in self.events if e["run_id"] == run_id]

    def types(self, run_id: str) -> list[str]:
        """Types of a run's own events in order (without the message that led to it)."""
        return [e["type"] for e in self.of(run_id) if e["type"] != "message_received"]

    def find(self, type: str, run_id: str | None = None, **data: Any) -> JSON | None:
        """The first event like this."""
        for event in self.events:
            if event["type"] == type and (run_id is None or event["run_id"] == run_id):
                if all(event["data"].get(k) == v for k, v in data.items()):
                    return event
        return None


class RefusedCommandError(AssertionError):
    """A command was answered `refused`."""

    def __init__(self, frame: JSON) -> None:
        super().__init__(str(frame))
        self.code: str = frame["error"]["code"]
        self.frame = frame


class Device:
    """One tab: a socket that may be cut, and a log that must go on where it was."""

    def __init__(
        self,
        server: Server,
        user: str,
        *,
        log: Log | None = None,
        device: str | None = None,
        bearer: str | None = None,
        from_head: bool = False,
        port: int | None = None,
    ) -> None:
        self.server = server
        self.port = port
        self.user = user
        self.log = log or Log(user, None if from_head else 0)
        self.device = device or new_id()
        self.bearer = bearer
        self.answers: dict[str | None, list[JSON]] = {}
        self.order: list[JSON] = []
        """Every frame that is no `events`, as it came."""
        self.goodbye: JSON | None = None
        self.close_code: int | None = None
        self._socket: ClientConnection | None = None

    # -- the socket --------------------------------------------------------------------------

    async def __aenter__(self) -> Device:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def socket(self) -> ClientConnection:
        assert self._socket is not None
        return self._socket

    async def open(self) -> None:
        """Open the socket; say nothing yet. One that a dead server left is closed."""
        await self.close()
        self._socket = await connect(
            f"ws://127.0.0.1:{self.port or self.server.port}/v1/socket",
            additional_headers={"Authorization": f"Bearer {self.bearer or token(self.user)}"},
            proxy=None,
            max_size=None,
            compression=None,
            open_timeout=BOUND,
            ping_interval=None,
            close_timeout=1,
        )
        self.goodbye = self.close_code = None

    def hello(self) -> JSON:
        """The hello that goes on where this log is."""
        hello: JSON = {"type": "hello", "device": self.device, "cursor": self.log.cursor}
        if self.log.cursor is not None:
            hello["mark"] = self.log.mark or "0"
        return hello

    async def connect(self) -> JSON:
        """Open, say hello, take the welcome."""
        await self.open()
        await self.write(self.hello())
        while True:
            frame = await self.read()
            if frame["type"] == "welcome":
                return frame

    async def cut(self) -> None:
        """Drop the connection without a word, as a lost network does."""
        self.socket.transport.abort()
        await self.socket.wait_closed()

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def write_at_once(self, frames: Iterable[JSON]) -> None:
        """Send many frames in one write to the network."""
        data = b"".join(
            Frame(Opcode.TEXT, json.dumps(frame).encode()).serialize(mask=True) for frame in frames
        )
        self.socket.transport.write(data)

    async def write(self, *frames: JSON | str | bytes) -> None:
        """Send frames."""
        for frame in frames:
            await self.socket.send(json.dumps(frame) if isinstance(frame, dict) else frame)

    async def read(self) -> JSON:
        """Take the next frame, whatever it is."""
        try:
            async with asyncio.timeout(BOUND):
                text = await self.socket.recv()
        except ConnectionClosed as closed:
            self.close_code = closed.rcvd.code if closed.rcvd else None
            raise
        frame: JSON = json.loads(text)
        match frame["type"]:
            case "events":
                self.log.take(frame)
            case "welcome":
                self.log.welcome(frame)
            case _:
                self.order.append(frame)
                if frame["type"] == "goodbye":
                    self.goodbye = frame
                elif frame["type"] in ("accepted", "refused", "pong"):
                    self.answers.setdefault(frame["id"], []).append(frame)
        return frame

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Read until a condition holds; its value."""
        try:
            async with asyncio.timeout(BOUND):
                while not (value := condition()):
                    await self.read()
        except TimeoutError:
            shown = [(e["seq"], e["type"], e["run_id"]) for e in self.log.events[-12:]]
            raise AssertionError(
                f"user {self.user} waits in vain at {self.log.cursor}; last: {shown}"
            ) from None
        return value

    async def until_closed(self) -> int | None:
        """Read until the server closes; the code."""
        try:
            async with asyncio.timeout(BOUND):
                while True:
                    await self.read()
        except ConnectionClosed:
            return self.close_code

    # -- commands ----------------------------------------------------------------------------

    async def answer(self, id: str | None) -> JSON:
        """The answer to a command."""
        return await self.until(lambda: self.answers.get(id, [None])[-1])

    async def command(self, frame: JSON) -> JSON:
        """Send a command and take its answer; raises RefusedCommandError."""
        id = frame.setdefault("id", new_id())
        self.answers.pop(id, None)
        await self.write(frame)
        answer = await self.answer(id)
        if answer["type"] == "refused":
            raise RefusedCommandError(answer)
        return answer

    async def send(self, text: str, *, thread_id: str | None = None, **more: Any) -> JSON:
        """Ask an agent; the `accepted`."""
        return await self.command({"type": "send", "text": text, "thread_id": thread_id, **more})

    async def cancel(self, run_id: str) -> JSON:
        return await self.command({"type": "cancel", "run_id": run_id})

    async def decide(self, approval_id: str, decision: str, reason: str | None = None) -> JSON:
        return await self.command(
            {"type": "decide", "approval_id": approval_id, "decision": decision, "reason": reason}
        )

    async def event(self, type: str, run_id: str | None = None, **data: Any) -> JSON:
        """Wait for an event."""
        return await self.until(lambda: self.log.find(type, run_id, **data))

    async def end(self, run_id: str) -> JSON:
        """Wait for a run's end; its data."""
        return (await self.event(TERMINAL, run_id))["data"]

    async def ask(self, text: str, **more: Any) -> tuple[JSON, JSON]:
        """Send and wait for the end: `accepted`, and the terminal's data. The run is checked."""
        sent = await self.send(text, **more)
        end = await self.end(sent["run_id"])
        check_run(self.log.of(sent["run_id"]))
        return sent, end

    async def fence(self) -> None:
        """Wait until everything that was in the log before now has been read."""
        async with self.server.http(self.user, bearer=self.bearer) as web:
            head = (await web.get("/v1/me")).json()["head"]
        await self.until(lambda: (self.log.cursor or 0) >= head)


def check_run(events: list[JSON]) -> None:
    """What must hold of every run that has ended, whatever the agent did."""
    assert events, "no events"
    assert len({e["run_id"] for e in events}) == 1
    assert len({e["thread_id"] for e in events}) == 1
    seqs = [e["seq"] for e in events]
    assert seqs == sorted(set(seqs)), seqs
    own = [e for e in events if e["type"] != "message_received"]
    types = [e["type"] for e in own]
    assert types.count(TERMINAL) == 1 and types[-1] == TERMINAL, types
    if types != [TERMINAL]:
        while types[0] == "run_queued":
            types.pop(0)
        if types != [TERMINAL]:
            assert types[0] == "agent_started" and types.count("agent_started") == 1, types
    open_calls: dict[str, str] = {}
    closed: set[str] = set()
    for event in own:
        data = event["data"]
        if event["type"] == "tool_executing":
            assert data["call_id"] not in open_calls and data["call_id"] not in closed, event
            open_calls[data["call_id"]] = data["tool"]
        elif event["type"] in ("tool_progress", "tool_completed"):
            assert data["call_id"] in open_calls, event
            if event["type"] == "tool_completed":
                assert open_calls.pop(data["call_id"]) == data["tool"], event
                closed.add(data["call_id"])
    assert not open_calls, f"never completed: {open_calls}"
    assert text_of(own) == own[-1]["data"]["output"], (text_of(own), own[-1])


def text_of(events: Iterable[JSON]) -> str:
    """The answer as a client sees it: its parts, in the order of their first pieces."""
    parts: dict[str, str] = {}
    for event in events:
        if event["type"] == "agent_output":
            data = event["data"]
            held = "" if data["restart"] else parts.get(data["part_id"], "")
            assert data["offset"] == len(held), (data, len(held))
            parts[data["part_id"]] = held + data["text"]
    return "".join(parts.values())


def pairs(events: Iterable[JSON]) -> list[tuple[JSON, JSON]]:
    """(tool_executing, tool_completed) data of each call, in the order of their starts."""
    events = list(events)
    ends = {e["data"]["call_id"]: e["data"] for e in events if e["type"] == "tool_completed"}
    return [
        (e["data"], ends[e["data"]["call_id"]]) for e in events if e["type"] == "tool_executing"
    ]


class Cutter:
    """A network between a client and the server that breaks after so many bytes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port = 0
        self.cuts = 0
        self.budget: Callable[[], int] = lambda: 1 << 60
        """How many bytes from the server the next connection lets pass."""
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Cutter:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._listener.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        left = self.budget()
        there, to_there = await asyncio.open_connection("127.0.0.1", self.server.port)
        up = asyncio.create_task(self._forward(reader, to_there))
        try:
            while left > 0 and (data := await there.read(min(left, 4096))):
                writer.write(data)
                await writer.drain()
                left -= len(data)
            self.cuts += left <= 0
        except OSError:
            pass
        finally:
            up.cancel()
            await asyncio.gather(up, return_exceptions=True)
            writer.transport.abort()
            to_there.transport.abort()

    @staticmethod
    async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
            await writer.drain()


class Stream:
    """A reader of `GET /v1/events`, by the rules of the same frames."""

    def __init__(self, server: Server, user: str, log: Log | None = None) -> None:
        self.server = server
        self.user = user
        self.log = log or Log(user)
        self.last_id: str | None = None
        self.welcomed: JSON | None = None
        self.goodbye: JSON | None = None

    async def until(self, condition: Callable[[], Any], *, header: bool = False) -> Any:
        """Read from where the log is until a condition holds, then drop the connection."""
        headers, query = {}, {}
        if header and self.last_id is not None:
            headers["Last-Event-ID"] = self.last_id
        elif self.log.cursor is not None:
            query = {"after": str(self.log.cursor), "mark": self.log.mark or "0"}
        async with self.server.http(self.user) as web, asyncio.timeout(BOUND):
            async with web.stream("GET", "/v1/events", params=query, headers=headers) as answer:
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("text/event-stream")
                async for line in answer.aiter_lines():
                    if line.startswith("id:"):
                        self.last_id = line[3:].strip()
                    elif line.startswith("data:"):
                        self._take(json.loads(line[5:]))
                        if value := condition():
                            return value
                    else:
                        assert line == "", line
        raise AssertionError("the stream ended")

    def _take(self, frame: JSON) -> None:
        match frame["type"]:
            case "welcome":
                self.welcomed = frame
                self.log.welcome(frame)
            case "events":
                self.log.take(frame)
            case _:
                self.goodbye = frame
        if frame["type"] != "goodbye":
            assert self.last_id == f"{self.log.mark}:{self.log.cursor}"
