"""A server of the native protocol in this process: one user, one log in memory, faults on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

TIME = "2026-01-02T03:04:05.678Z"
ANSWER = ["Models: ", "a costs 1, ", "b costs 2."]
TEXT = "".join(ANSWER)

Frames = list[dict[str, Any]]
Fault = Callable[[int, dict[str, Any]], Frames | int | tuple[Frames, int] | None]
"""Of the n-th frame that the server is to write (from 1, over all sockets): what it writes
instead; a close code, 0 for a cut without one; both; None for the frame itself."""


class FakeServer:
    """Entries are `None` where hidden. `script` makes the events of a run from its ids."""

    def __init__(self) -> None:
        self.log: list[dict[str, Any] | None] = []
        self.mark = "m1"
        self.marks = {"0": 0}
        self.receipts: dict[str, dict[str, Any]] = {}
        self.executed: list[dict[str, Any]] = []
        self.hellos: list[dict[str, Any]] = []
        self.acks: list[int] = []
        self.tokens: list[str] = []
        self.bad_tokens: set[str] = set()
        self.refuse: Callable[[dict[str, Any]], dict[str, Any] | None] = lambda frame: None
        self.fault: Fault = lambda n, frame: None
        self.script: Callable[[str, str, str], list[tuple[str, dict[str, Any]] | None]] = plain_run
        self.written = 0
        self.size = 2
        self.frame_bytes = 256 * 1024
        self.grown = asyncio.Event()
        self.port = 0
        self._server: Server | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def sent_events(self) -> list[int]:
        """The seqs of all events, as a reader from the start gets them."""
        return [entry["seq"] for entry in self.log if entry is not None]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FakeServer]:
        await self.start()
        try:
            yield self
        finally:
            await self.stop()

    async def start(self) -> None:
        self._server = await serve(
            self._converse,
            "127.0.0.1",
            self.port,
            process_request=self._http,
            ping_interval=None,
            close_timeout=0.1,
            max_size=self.frame_bytes,
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]

    async def stop(self) -> None:
        """Go away at once, as after kill -9; the log stays."""
        assert self._server is not None
        for socket in list(self._server.connections):
            socket.transport.abort()
        self._server.close()
        await self._server.wait_closed()

    def append(self, *items: tuple[str, dict[str, Any]] | None, thread: str, run: str) -> None:
        for item in items:
            seq = len(self.log) + 1
            self.log.append(
                None
                if item is None
                else {
                    "seq": seq,
                    "type": item[0],
                    "time": TIME,
                    "thread_id": thread,
                    "run_id": run,
                    "data": item[1],
                }
            )
        self.marks[self.mark] = len(self.log)
        self.grown.set()
        self.grown = asyncio.Event()

    def replace_log(self) -> None:
        """Another log, as after a restored backup."""
        self.log, self.receipts, self.mark, self.marks = [], {}, "m2", {"0": 0}

    async def _converse(self, socket: ServerConnection) -> None:
        try:
            hello = json.loads(await socket.recv())
            assert hello["type"] == "hello", hello
            self.hellos.append(hello)
            head = len(self.log)
            cursor, reset = hello["cursor"], False
            if cursor is None:
                cursor = head
            elif self.marks.get(hello["mark"], -1) < cursor:
                cursor, reset = head, True
            welcome = {
                "type": "welcome",
                "user_id": "u",
                "mark": self.mark,
                "head": head,
                "cursor": cursor,
                "reset": reset,
                "limits": {"frame_bytes": self.frame_bytes},
                "agents": [],
                "version": "1",
                "field_of_the_future": 1,
            }
            await self._write(socket, welcome)
            pump = asyncio.create_task(self._pump(socket, cursor))
            try:
                async for text in socket:
                    await self._command(socket, json.loads(text))
            finally:
                pump.cancel()
                await asyncio.gather(pump, return_exceptions=True)
        except (ConnectionClosed, ConnectionError):
            pass

    async def _pump(self, socket: ServerConnection, cursor: int) -> None:
        while True:
            grown = self.grown
            while cursor < len(self.log):
                chunk = self.log[cursor : cursor + self.size]
                events = [entry for entry in chunk if entry is not None]
                frame = {
                    "type": "events",
                    "mark": self.mark,
                    "from": cursor,
                    "to": cursor + len(chunk),
                    "hidden": len(chunk) - len(events),
                    "events": events,
                }
                cursor += len(chunk)
                await self._write(socket, frame)
            await grown.wait()

    async def _write(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        self.written += 1
        fault = self.fault(self.written, frame)
        frames, code = [frame] if fault is None else [], None
        if isinstance(fault, tuple):
            frames, code = fault
        elif isinstance(fault, int):
            code = fault
        elif fault is not None:
            frames = fault
        for one in frames:
            await socket.send(json.dumps(one))
        if code is not None:
            if code:
                await socket.close(code)
            else:
                socket.transport.abort()
            raise ConnectionError

    async def _command(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        if frame["type"] == "ack":
            self.acks.append(frame["cursor"])
            return
        if frame["type"] == "renew":
            self.tokens.append(frame["token"])
            await self._write(socket, {"type": "renewed"})
            return
        known = self.receipts.get(frame["id"])
        if known is not None:
            await self._write(socket, {**known, "duplicate": True})
            return
        error = self.refuse(frame)
        if error is not None:
            await self._write(socket, {"type": "refused", "id": frame["id"], "error": error})
            return
        self.executed.append(frame)
        answer = self._execute(frame)
        self.receipts[frame["id"]] = answer
        await self._write(socket, answer)

    def _execute(self, frame: dict[str, Any]) -> dict[str, Any]:
        thread = run = message = seq = None
        if frame["type"] == "send":
            number = len(self.executed)
            thread = frame["thread_id"] or f"t{number}"
            run, message, seq = f"r{number}", f"q{number}", len(self.log) + 1
            received = {"message_id": message, "text": frame["text"], "command_id": frame["id"]}
            self.append(("message_received", received), None, thread=thread, run=run)
            self.append(*self.script(run, message, frame["text"]), thread=thread, run=run)
        elif frame["type"] == "cancel":
            run = frame["run_id"]
            self.append(completed("cancelled"), thread="t1", run=run)
        elif frame["type"] == "decide":
            run = "r1"
            done = "approved" if frame["decision"] == "approve" else "denied"
            self.append(
                ("approval_resolved", {"approval_id": frame["approval_id"], "decision": done}),
                completed("succeeded", done),
                thread="t1",
                run=run,
            )
        return {
            "type": "accepted",
            "id": frame["id"],
            "thread_id": thread,
            "message_id": message,
            "run_id": run,
            "seq": seq,
            "duplicate": False,
        }

    def _http(self, socket: ServerConnection, request: Request) -> Response | None:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.tokens.append(token)
        if token in self.bad_tokens:
            return socket.respond(HTTPStatus.UNAUTHORIZED, problem("unauthenticated"))
        url = urlsplit(request.path)
        if url.path == "/v1/socket":
            return None
        return socket.respond(*self._get(url.path.split("/")[2:], parse_qs(url.query)))

    def _get(self, path: list[str], query: dict[str, list[str]]) -> tuple[HTTPStatus, str]:
        events = [entry for entry in self.log if entry is not None]
        match path:
            case ["threads"]:
                threads = list(dict.fromkeys(entry["thread_id"] for entry in events))
                items = [{"thread_id": thread, "title": None} for thread in reversed(threads)]
                return HTTPStatus.OK, json.dumps({"items": items[:1], "next": None})
            case ["threads", thread, "messages"]:
                own = [entry for entry in events if entry["thread_id"] == thread]
                return HTTPStatus.OK, json.dumps(
                    {
                        "items": _messages(own),
                        "next": None,
                        "as_of": len(self.log),
                        "mark": self.mark,
                        "open_runs": [{"run_id": run} for run in _open(own)],
                    }
                )
            case ["runs", run, "events"]:
                own = [entry for entry in events if entry["run_id"] == run]
                return HTTPStatus.OK, json.dumps({"items": own, "next": None})
            case _:
                return HTTPStatus.NOT_FOUND, problem("not_found")


def _messages(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    for entry in events:
        data = entry["data"]
        if entry["type"] == "message_received":
            items.append({"message_id": data["message_id"], "role": "user", "text": data["text"]})
        elif entry["type"] == "agent_completed":
            items.append(
                {"message_id": entry["run_id"], "role": "assistant", "text": data["output"]}
            )
    return items


def _open(events: list[dict[str, Any]]) -> list[str]:
    ended = {entry["run_id"] for entry in events if entry["type"] == "agent_completed"}
    return list(dict.fromkeys(e["run_id"] for e in events if e["run_id"] not in ended))


def problem(code: str) -> str:
    return json.dumps({"title": code, "code": code, "message": code, "retryable": False})


def started(message: str) -> tuple[str, dict[str, Any]]:
    return (
        "agent_started",
        {"agent": "a", "version": "1", "message_id": message, "deadline_ms": 300_000},
    )


def piece(text: str, offset: int, part: str = "p", restart: bool = False) -> tuple[str, Any]:
    return (
        "agent_output",
        {"part_id": part, "offset": offset, "text": text, "restart": restart},
    )


def completed(
    status: str, output: str = "", error: dict[str, Any] | None = None
) -> tuple[str, dict[str, Any]]:
    data = {"status": status, "output": output, "partial": False, "error": error}
    return ("agent_completed", {**data, "usage": {}, "duration_ms": 5})


def pieces() -> list[tuple[str, dict[str, Any]] | None]:
    items: list[tuple[str, dict[str, Any]] | None] = []
    offset = 0
    for text in ANSWER:
        items.append(piece(text, offset))
        offset += len(text)
    return items


def plain_run(run: str, message: str, text: str) -> list[tuple[str, dict[str, Any]] | None]:
    """A run with everything in it, hidden entries and an event of the future too."""
    return [
        started(message),
        ("agent_thinking", {"text": "Looking for the table", "step": None}),
        ("tool_executing", {"call_id": "c", "tool": "sql", "arguments": {"query": "select 1"}}),
        None,
        ("tool_progress", {"call_id": "c", "text": "half", "fraction": 0.5}),
        None,
        (
            "tool_completed",
            {"call_id": "c", "tool": "sql", "status": "ok", "duration_ms": 340, "attempts": 1},
        ),
        ("event_of_the_future", {"x": 1}),
        *pieces(),
        completed("succeeded", TEXT),
    ]
