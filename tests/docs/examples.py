"""Executes the `http`, `socket` and `sse` blocks of docs/protocol.md against a real server.

`> ` is sent, `< ` is received. Ids, times, marks and durations of the page stand for others of
their kind: the same one for the same one. A value `"..."` stands for any. Frames of events may be
cut elsewhere than the page shows: they are joined, and their sums checked.

`python -m tests.docs.examples` writes what the server answers into the page.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from goldenpath.testing.ports import free_port
from tests.docs.pages import ROOT, Block, blocks

PAGE = ROOT / "docs" / "protocol.md"
SECRET = "a-secret-of-the-examples-of-32-bytes-or-more"
_SECONDS = 20.0
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_LOOSE = {"duration_ms", "deadline_ms"}
JSON = dict[str, Any]


def token(user: str, **claims: Any) -> str:
    return jwt.encode({"sub": user, "exp": int(time.time()) + 600, **claims}, SECRET, "HS256")


class MismatchError(AssertionError):
    """The server answers otherwise than the page says."""


class Names:
    """Which id of the server an id of the page stands for."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def real(self, text: str) -> str:
        """What to send for a line of the page."""
        for shown, real in self._real.items():
            text = text.replace(shown, real)
        return text

    def bind(self, shown: str, real: str) -> bool:
        """True if they may stand for each other."""
        if shown not in self._real:
            if real in self._real.values():
                return False
            self._real[shown] = real
        return self._real[shown] == real

    def same(self, shown: Any, real: Any, name: str = "") -> bool:
        """Whether what came is what the page shows."""
        if shown == "...":
            return True
        if isinstance(shown, dict) and isinstance(real, dict):
            return shown.keys() == real.keys() and all(
                self.same(shown[key], real[key], key) for key in shown
            )
        if isinstance(shown, list) and isinstance(real, list):
            return len(shown) == len(real) and all(map(self.same, shown, real))
        if isinstance(shown, str) and isinstance(real, str):
            return self._same_text(shown, real, name)
        if name in _LOOSE:
            return type(shown) is type(real)
        return type(shown) is type(real) and shown == real

    def learn(self, shown: Any, real: Any, name: str = "") -> Any:
        """What came, by the page's own ids, without what the page leaves out on purpose."""
        if shown == "...":
            return "..."
        if isinstance(real, dict):
            given = shown if isinstance(shown, dict) else {}
            return {key: self.learn(given.get(key), value, key) for key, value in real.items()}
        if isinstance(real, list):
            listed = (
                shown if isinstance(shown, list) and len(shown) == len(real) else [None] * len(real)
            )
            return [self.learn(one, other) for one, other in zip(listed, real, strict=True)]
        if not isinstance(real, str):
            return shown if name in _LOOSE and type(shown) is type(real) else real
        for one, other in self._real.items():
            if other == real:
                return one
        if isinstance(shown, str) and _TIME.fullmatch(shown) and _TIME.fullmatch(real):
            return shown
        if name == "mark" or _UUID.fullmatch(real):
            kept = isinstance(shown, str) and shown not in self._real
            kept = kept and (name == "mark" or _UUID.fullmatch(shown) is not None)
            self._real[shown if kept else real] = real
            return shown if kept else real
        return real

    def _same_text(self, shown: str, real: str, name: str) -> bool:
        if shown == real:
            return True
        if _TIME.fullmatch(shown):
            return _TIME.fullmatch(real) is not None
        if _UUID.fullmatch(shown):
            return _UUID.fullmatch(real) is not None and self.bind(shown, real)
        if name == "mark":
            return bool(real) and self.bind(shown, real)
        return False


class Wire:
    """One open socket; frames of events are kept apart from answers."""

    def __init__(self, connection: ClientConnection, names: Names, learn: bool) -> None:
        self._connection = connection
        self._names = names
        self._learn = learn
        self._answers: list[JSON] = []
        self._batches: list[JSON] = []
        self._closed: tuple[int, str] | None = None

    async def send(self, text: str) -> None:
        await self._connection.send(self._names.real(text))

    async def _more(self) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                text = await self._connection.recv()
        except ConnectionClosed as closed:
            received = closed.rcvd
            self._closed = (received.code, received.reason) if received else (1006, "")
            return
        frame = json.loads(text)
        (self._batches if frame["type"] == "events" else self._answers).append(frame)

    async def _until(self, condition: Any, what: str) -> None:
        while not condition():
            if self._closed is not None:
                raise MismatchError(f"closed with {self._closed} instead of: {what}")
            try:
                await self._more()
            except TimeoutError:
                raise MismatchError(
                    f"nothing came for: {what}\nbeside {self._answers} {self._batches}"
                ) from None

    async def receive(self, line: str) -> str:
        """Receive what a line shows; gives the line as it should be."""
        if line.startswith("close "):
            while self._closed is None:
                await self._more()
            return f"close {self._closed[0]}"
        shown = json.loads(line)
        if shown["type"] != "events":
            await self._until(lambda: self._answers, line)
            real = self._answers.pop(0)
            return self._check(line, shown, real)
        wanted = len(shown["events"])
        last = shown["events"][-1]["type"] if shown["events"] else None
        await self._until(
            lambda: (
                sum(len(b["events"]) for b in self._batches) >= wanted
                and (
                    not self._learn
                    or any(e["type"] == last for b in self._batches for e in b["events"])
                )
            ),
            line,
        )
        real = _joined(self._batches)
        self._batches.clear()
        if self._learn:
            return self._check(line, shown, real)
        for frame in (shown, real):
            assert frame["to"] - frame["from"] == len(frame["events"]) + frame["hidden"], frame
        # How much of what is hidden a frame takes along differs from time to time.
        for name in ("from", "to", "hidden"):
            real[name] = shown[name]
        return self._check(line, shown, real)

    def _check(self, line: str, shown: Any, real: Any) -> str:
        if self._learn:
            return dump(self._names.learn(shown, real))
        if not self._names.same(shown, real):
            raise MismatchError(f"the page shows:\n{line}\nthe server sent:\n{dump(real)}")
        return line

    async def close(self) -> None:
        await self._connection.close()


def _joined(batches: list[JSON]) -> JSON:
    whole = dict(batches[0])
    whole["events"] = []
    whole["hidden"] = 0
    for batch in batches:
        whole["events"] += batch["events"]
        whole["hidden"] += batch["hidden"]
        whole["to"], whole["mark"] = batch["to"], batch["mark"]
    return whole


def dump(value: Any) -> str:
    """JSON on one line, a list of objects on one line each."""
    for name in ("events", "items"):
        listed = value.get(name) if isinstance(value, dict) else None
        if isinstance(listed, list) and listed:
            marker = json.dumps("\0")
            text = json.dumps({**value, name: "\0"}, ensure_ascii=False)
            items = ",\n<   ".join(json.dumps(one, ensure_ascii=False) for one in listed)
            return text.replace(marker, f"[\n<   {items}]")
    return json.dumps(value, ensure_ascii=False)


def lines_of(block: Block) -> list[str]:
    """The lines of a block, each with those that go on with it."""
    return block.text.replace("\n<   ", "").splitlines()


class Examples:
    """A server, and everything that a page says to it."""

    def __init__(self, base: str, *, learn: bool = False) -> None:
        self._base = base
        self._names = Names()
        self._learn = learn
        self._wires: dict[str, Wire] = {}
        self._http = httpx.AsyncClient(base_url=base, trust_env=False, timeout=_SECONDS)

    async def close(self) -> None:
        for wire in self._wires.values():
            await wire.close()
        await self._http.aclose()

    async def run(self, block: Block) -> list[str]:
        """Execute a block; gives its lines as they should be."""
        if block.language == "http":
            return await self._request(block)
        if block.language == "sse":
            return await self._stream(block)
        return await self._socket(block)

    def _headers(self, block: Block) -> dict[str, str]:
        user = block.words.get("user", "ada")
        return {} if user == "nobody" else {"Authorization": f"Bearer {token(user)}"}

    async def _request(self, block: Block) -> list[str]:
        sent = [line[2:] for line in lines_of(block) if line.startswith(">")]
        shown = [line[2:] for line in lines_of(block) if line.startswith("<")]
        method, _, path = sent[0].partition(" ")
        headers, body = self._headers(block), None
        for line in sent[1:]:
            if line.startswith("{"):
                body = self._names.real(line)
                headers["Content-Type"] = "application/json"
            else:
                name, _, value = line.partition(": ")
                headers[name] = value
        deadline = time.monotonic() + _SECONDS
        while True:
            response = await self._http.request(
                method, self._names.real(path), headers=headers, content=body
            )
            if "until" not in block.words or block.words["until"] in response.text:
                break
            assert time.monotonic() < deadline, response.text
        lines = [f"{response.status_code}"]
        for line in shown[1:]:
            if not line.startswith("{"):
                name, _, value = line.partition(": ")
                real = response.headers.get(name, "")
                same = value == "..." or self._names.same(value, real)
                lines.append(line if same else f"{name}: {real}")
        shown_body = next((line for line in shown[1:] if line.startswith("{")), None)
        if response.content:
            real = response.json()
            if self._learn:
                lines.append(dump(self._names.learn(json.loads(shown_body or "{}"), real)))
            elif shown_body is None or not self._names.same(json.loads(shown_body), real):
                raise MismatchError(
                    f"line {block.line}: {sent[0]}\nthe page shows:\n{shown_body}\nthe server sent:\n{dump(real)}"
                )
            else:
                lines.append(shown_body)
        if not self._learn and lines != shown:
            raise MismatchError(f"line {block.line}: {sent[0]}\n{shown}\n{lines}")
        return [f"> {line}" for line in sent] + [f"< {line}" for line in lines]

    async def _stream(self, block: Block) -> list[str]:
        sent = [line[2:] for line in lines_of(block) if line.startswith(">")]
        shown = [line[2:] for line in lines_of(block) if line.startswith("<")]
        headers = self._headers(block)
        for line in sent[1:]:
            name, _, value = line.partition(": ")
            headers[name] = self._names.real(value)
        lines: list[str] = []
        path = self._names.real(sent[0].partition(" ")[2])
        async with (
            asyncio.timeout(_SECONDS),
            self._http.stream("GET", path, headers=headers) as response,
        ):
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            async for line in response.aiter_lines():
                lines.append(line)
                frames = [json.loads(one[6:]) for one in lines if one.startswith("data: ")]
                if (
                    len(frames) >= 2
                    and frames[-1]["events"][-1]["type"] == "agent_completed"
                    and not line
                ):
                    break
        if not self._learn:
            for one, other in zip(shown, lines, strict=False):
                field, _, value = one.partition(": ")
                real_field, _, real = other.partition(": ")
                if field == "id" and value != "...":
                    mark, _, cursor = value.partition(":")
                    real_mark, _, real_cursor = real.partition(":")
                    same = (
                        self._names.same({"mark": mark}, {"mark": real_mark})
                        and cursor == real_cursor
                    )
                else:
                    same = field == real_field and (
                        not value or self._names.same(json.loads(value), json.loads(real))
                    )
                if not same:
                    raise MismatchError(
                        f"line {block.line}:\nthe page shows:\n{one}\nthe server sent:\n{other}"
                    )
            return [f"> {line}" for line in sent] + [f"< {line}".rstrip() for line in shown]
        for number, line in enumerate(lines):
            if line.startswith("data: "):
                like = (
                    json.loads(shown[number][6:])
                    if number < len(shown) and shown[number].startswith("data: ")
                    else {}
                )
                lines[number] = "data: " + dump(self._names.learn(like, json.loads(line[6:])))
            elif line.startswith("id: "):
                mark, _, cursor = line[4:].partition(":")
                lines[number] = f"id: {self._names.learn({}, {'mark': mark})['mark']}:{cursor}"
        return [f"> {line}" for line in sent] + [f"< {line}".rstrip() for line in lines]

    async def _socket(self, block: Block) -> list[str]:
        name = block.words.get("name", "")
        lines: list[str] = []
        if name not in self._wires:
            try:
                connection = await connect(
                    self._base.replace("http", "ws", 1) + "/v1/socket",
                    additional_headers=self._headers(block), compression=None, proxy=None, max_queue=None,
                )  # fmt: skip
            except InvalidStatus as refused:
                line = lines_of(block)[0]
                assert line == f"< {refused.response.status_code}", (line, refused)
                return [line]
            self._wires[name] = Wire(connection, self._names, self._learn)
        wire = self._wires[name]
        for line in lines_of(block):
            if line.startswith("> "):
                text = line[2:].replace("$TOKEN", token(block.words.get("user", "ada")))
                await wire.send(text)
                lines.append(line)
            else:
                assert line.startswith("< "), f"line {block.line}: {line}"
                try:
                    lines.append("< " + await wire.receive(line[2:]))
                except MismatchError as error:
                    raise MismatchError(f"line {block.line}: {error}") from None
        if lines[-1].startswith("< close"):
            await self._wires.pop(name).close()
        return lines


@asynccontextmanager
async def server(directory: Path) -> AsyncIterator[str]:
    """`goldenpath serve` with the application that the page shows."""
    for block in blocks(PAGE):
        if "file" in block.words:
            (directory / block.words["file"]).write_text(block.text)
    port = free_port()
    log = directory / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "goldenpath.cli", "serve", "main:app", "--port", str(port), "--ops-bind", f"127.0.0.1:{free_port()}",
             "--limit-park", "1h", "--limit-linger", "1h"],  # a slow machine makes no other entries
            cwd=directory, env={**os.environ, "GOLDENPATH_AUTH_SECRET": SECRET}, stdout=out, stderr=out,
        )  # fmt: skip
    base = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(trust_env=False) as http, asyncio.timeout(_SECONDS):
            while True:
                assert process.poll() is None, log.read_text()
                try:
                    if (await http.get(f"{base}/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        yield base
    finally:
        process.kill()
        process.wait()


EXECUTED = ("http", "socket", "sse")


async def learn() -> None:
    """Write what the server answers into the page."""
    text = PAGE.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        async with AsyncExitStack() as stack:
            base = await stack.enter_async_context(server(Path(directory)))
            examples = Examples(base, learn=True)
            stack.push_async_callback(examples.close)
            for block in blocks(PAGE):
                if block.language in EXECUTED:
                    lines = await examples.run(block)
                    text = text.replace(block.text, "\n".join(lines) + "\n", 1)
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(learn())
