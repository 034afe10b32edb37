"""`goldenpath chat`: scripted by a program, and on a terminal."""

from __future__ import annotations

import asyncio
import io
import os
import pty
import re
import signal
import sys
from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from goldenpath.cli.chat import Chat
from goldenpath.cli.chat_view import InputLines, PlainView, clean, show_call
from goldenpath.errors import ConfigError, StoppedError
from tests.client.fake_server import (
    ANSWER,
    TEXT,
    FakeServer,
    completed,
    piece,
    plain_run,
    started,
)

APPROVAL = {
    "approval_id": "a1",
    "call_id": "c",
    "tool": "delete",
    "arguments": {"table": "usage"},
    "expires": "2026-01-09T03:04:05.678Z",
}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    async with FakeServer().running() as fake:
        yield fake


class Written(io.StringIO):
    """Text that was written, and a sign when it grows."""

    def __init__(self, grown: asyncio.Event) -> None:
        super().__init__()
        self._grown = grown

    def write(self, text: str, /) -> int:
        self._grown.set()
        return super().write(text)


class Script:
    """What a program writes to the chat, and what the chat wrote."""

    def __init__(self, *lines: str, end: bool = True) -> None:
        self._reading, self.writing = os.pipe()
        self._grown = asyncio.Event()
        self.out, self.side = Written(self._grown), Written(self._grown)
        self.write(*lines)
        if end:
            self.end()
        self.view = PlainView(InputLines(self._reading), self.out, self.side)

    def write(self, *lines: str) -> None:
        os.write(self.writing, "".join(line + "\n" for line in lines).encode())

    def end(self) -> None:
        os.close(self.writing)

    async def chat(self, server: FakeServer, **options: Any) -> int:
        return await Chat(server.url, "t", rand=lambda: 0.0, **options).run(self.view)

    async def shows(self, text: str) -> None:
        while text not in self.side.getvalue() + self.out.getvalue():
            self._grown.clear()
            await self._grown.wait()


@pytest.mark.anyio
async def test_a_question_a_line_gives_an_answer_each(server: FakeServer) -> None:
    script = Script("cost per model", "", "and again")
    assert await script.chat(server) == 0
    assert script.out.getvalue() == f"{TEXT}\n{TEXT}\n"
    assert [frame["text"] for frame in server.executed] == ["cost per model", "and again"]
    assert server.executed[1]["thread_id"] == "t1"
    assert server.acks
    side = script.side.getvalue()
    assert "- Looking for the table" in side
    assert "* sql(query='select 1')" in side
    assert "* sql: 50% half" in side
    assert "* sql: ok, 0.3 s" in side


@pytest.mark.anyio
async def test_a_failed_run_makes_the_exit_code_1(server: FakeServer) -> None:
    error = {"code": "agent_error", "message": "The agent broke.", "retryable": False}
    server.script = lambda run, message, text: [started(message), completed("failed", "", error)]
    script = Script("x")
    assert await script.chat(server) == 1
    assert script.out.getvalue() == ""
    assert "! failed: The agent broke." in script.side.getvalue()


@pytest.mark.anyio
async def test_a_refused_question_makes_the_exit_code_1(server: FakeServer) -> None:
    server.refuse = lambda f: {"code": "rate_limited", "message": "too fast", "retryable": True}
    script = Script("x")
    assert await script.chat(server) == 1
    assert "# rate_limited: too fast" in script.side.getvalue()


@pytest.mark.anyio
async def test_it_goes_on_in_the_newest_thread_and_shows_what_was_said(server: FakeServer) -> None:
    server.append(
        ("message_received", {"message_id": "m", "text": "first", "command_id": "c"}),
        *plain_run("r0", "m", "first"),
        thread="t0",
        run="r0",
    )
    script = Script("second")
    assert await script.chat(server) == 0
    assert f"> first\n< {TEXT}\n" in script.side.getvalue()
    assert script.out.getvalue() == f"{TEXT}\n"
    assert server.executed[0]["thread_id"] == "t0"
    assert await Script("third").chat(server, new=True) == 0
    assert server.executed[1]["thread_id"] is None


@pytest.mark.anyio
async def test_a_run_that_is_still_going_is_shown_to_its_end(server: FakeServer) -> None:
    events = plain_run("r0", "m", "x")
    question = ("message_received", {"message_id": "m", "text": "first", "command_id": "c"})
    server.append(question, *events[:-2], thread="t0", run="r0")
    script = Script("next", end=False)
    chat = asyncio.create_task(script.chat(server))
    await script.shows("* sql: ok")
    assert server.executed == []
    server.append(*events[-2:], thread="t0", run="r0")
    await script.shows(TEXT)
    script.end()
    assert await chat == 0
    assert script.out.getvalue() == f"{TEXT}\n{TEXT}\n"


@pytest.mark.anyio
async def test_a_thread_that_is_not_there_is_named(server: FakeServer) -> None:
    server._get = lambda path, query: (404, '{"code":"not_found","message":"x"}')  # type: ignore[method-assign]
    with pytest.raises(ConfigError, match="--thread: 'nope'"):
        await Script("x").chat(server, thread_id="nope")


@pytest.mark.anyio
async def test_a_history_that_cannot_be_read_does_not_keep_from_asking(server: FakeServer) -> None:
    get = server._get
    server._get = lambda path, query: (  # type: ignore[method-assign]
        (HTTPStatus.INTERNAL_SERVER_ERROR, "oops") if "messages" in path else get(path, query)
    )
    server.append(*plain_run("r0", "m", "x"), thread="t0", run="r0")
    script = Script("x")
    assert await script.chat(server) == 0
    assert "# what was said before cannot be shown: HTTP 500" in script.side.getvalue()
    assert server.executed[0]["thread_id"] == "t0"


@pytest.mark.anyio
async def test_a_server_killed_in_mid_answer_costs_no_word_and_repeats_none(
    server: FakeServer,
) -> None:
    server.script = lambda run, message, text: [started(message), piece(ANSWER[0], 0)]
    script = Script("x")
    chat = asyncio.create_task(script.chat(server))
    while not server.executed:
        await asyncio.sleep(0)
    await server.stop()
    await script.shows("# reconnecting…")
    await server.start()
    await script.shows("# connected again")
    resumed = ("agent_resumed", {"attempt": 2, "reason": "crash"})
    rest = [
        piece(ANSWER[1], len(ANSWER[0])),
        piece(ANSWER[2], len(ANSWER[0] + ANSWER[1])),
        completed("succeeded", TEXT),
    ]
    server.append(resumed, *rest, thread="t1", run="r1")
    assert await chat == 0
    assert script.out.getvalue() == f"{TEXT}\n"
    assert script.side.getvalue().count("reconnecting") == 1


@pytest.mark.anyio
async def test_a_question_asked_while_the_server_is_down_is_sent_when_it_is_back(
    server: FakeServer,
) -> None:
    script = Script("in the light", end=False)
    chat = asyncio.create_task(script.chat(server))
    await script.shows(TEXT)
    await server.stop()
    await script.shows("# reconnecting…")
    script.write("asked in the dark")
    await script.shows("the question is sent when the server is back")
    await server.start()
    script.end()
    assert await chat == 0
    assert [frame["text"] for frame in server.executed] == ["in the light", "asked in the dark"]
    assert script.out.getvalue() == f"{TEXT}\n{TEXT}\n"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("line", "decision"), [("y", "approve"), ("maybe\nno", "deny"), (None, "deny")]
)
async def test_an_approval_is_answered_by_the_next_line(
    server: FakeServer, line: str | None, decision: str
) -> None:
    server.script = lambda run, message, text: [started(message), ("approval_requested", APPROVAL)]
    script = Script("drop it", *([] if line is None else [line]))
    assert await script.chat(server) == 0
    assert "? Allow delete(table='usage')? [y/n]" in script.side.getvalue()
    assert server.executed[1]["decision"] == decision
    assert script.out.getvalue() == ("approved\n" if decision == "approve" else "denied\n")


@pytest.mark.anyio
async def test_an_approval_decided_elsewhere_is_not_asked_any_more(server: FakeServer) -> None:
    server.script = lambda run, message, text: (
        [started(message), ("approval_requested", APPROVAL)]
        if text == "drop it"
        else plain_run(run, message, text)
    )
    script = Script("drop it", end=False)
    chat = asyncio.create_task(script.chat(server))
    await script.shows("? Allow delete")
    server.append(
        ("approval_resolved", {"approval_id": "a1", "decision": "approved"}),
        completed("succeeded", "dropped"),
        thread="t1",
        run="r1",
    )
    await script.shows("dropped")
    script.write("next question")
    script.end()
    assert await chat == 0
    assert [frame["type"] for frame in server.executed] == ["send", "send"]


@pytest.mark.anyio
async def test_an_interrupt_cancels_the_run_and_another_leaves(server: FakeServer) -> None:
    server.script = lambda run, message, text: [
        started(message),
        ("agent_thinking", {"text": f"About {text}"}),
    ]
    script = Script("x", "y", end=False)
    chat = asyncio.create_task(script.chat(server))
    await script.shows("- About x")
    os.kill(os.getpid(), signal.SIGINT)
    await script.shows("! cancelled")
    assert (server.executed[1]["type"], server.executed[1]["run_id"]) == ("cancel", "r1")
    await script.shows("- About y")
    server.refuse = lambda frame: {"code": "run_ended", "message": "x", "retryable": False}
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)
    assert await chat == 130
    script.end()


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_waited_for_and_named() -> None:
    fake = FakeServer()
    async with fake.running():
        pass
    script = Script("x")
    with pytest.raises(StoppedError, match="did not answer"):
        await script.chat(fake, patience=0)
    script = Script("x")
    chat = asyncio.create_task(script.chat(fake))
    await script.shows(f"# cannot reach {fake.url}; trying again…")
    async with fake.running():
        assert await chat == 0
    assert script.out.getvalue() == f"{TEXT}\n"


def test_what_could_drive_a_terminal_is_made_visible() -> None:
    assert clean("a\x1b[2Jb\n\tc\x07") == "a\\x1b[2Jb\n\tc\\x07"
    assert "\x1b" not in show_call("x\x1b", {"a": "\x1b]0;x"})


class Terminal:
    """The command in a process of its own, on a terminal of its own."""

    def __init__(self, *arguments: str) -> None:
        self.seen = ""
        self._arguments = arguments
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Terminal:
        self._master, slave = pty.openpty()
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            "import sys; from argparse import ArgumentParser; from goldenpath.cli import chat\n"
            "parser = ArgumentParser(); chat.add_parser(parser.add_subparsers())\n"
            "sys.exit(chat.run(parser.parse_args(sys.argv[1:])))",
            "chat",
            *self._arguments,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "30"},
            start_new_session=True,
            cwd=Path.cwd(),
        )
        os.close(slave)
        asyncio.get_running_loop().add_reader(self._master, self._read)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        if self.process.returncode is None:
            self.process.kill()
            await self.process.wait()
        os.close(self._master)

    def _read(self) -> None:
        try:
            data = os.read(self._master, 65536)
        except OSError:
            asyncio.get_running_loop().remove_reader(self._master)
            return
        if b"\x1b[6n" in data:
            os.write(self._master, b"\x1b[1;1R")
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        self._changed.set()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    async def shows(self, text: str, *, after: int = 0) -> int:
        while text not in self.seen[after:]:
            self._changed.clear()
            await self._changed.wait()
        return self.seen.index(text, after) + len(text)


@pytest.mark.anyio
async def test_a_terminal_shows_the_answer_as_it_comes_and_redraws_a_restart(
    server: FakeServer,
) -> None:
    server.script = lambda run, message, text: [
        started(message),
        ("agent_thinking", {"text": "Looking for the table", "step": None}),
        ("tool_executing", {"call_id": "c", "tool": "sql", "arguments": {"query": "select 1"}}),
    ]
    async with Terminal("--url", server.url, "--token", "t") as terminal:
        await terminal.shows("›")
        terminal.type("cost per **model**\r")
        at = await terminal.shows("Looking for the table")
        at = await terminal.shows("⚙ sql(query='select 1')", after=at)
        ended = {"call_id": "c", "tool": "sql", "status": "ok", "duration_ms": 340, "attempts": 1}
        server.append(("tool_completed", ended), piece("Wrong words", 0), thread="t1", run="r1")
        at = await terminal.shows("✓ sql(query='select 1') (ok, 0.3 s)", after=at)
        at = await terminal.shows("Wrong words", after=at)
        server.append(piece("Right words", 0, restart=True), thread="t1", run="r1")
        at = await terminal.shows("Right words", after=at)
        assert "Wrong words" not in terminal.seen[at:]
        server.append(completed("succeeded", "Right **words** at the end"), thread="t1", run="r1")
        at = await terminal.shows("Right words at the end", after=at)
        await terminal.shows("›", after=at)
        terminal.type("\x04")
        assert await terminal.process.wait() == 0


@pytest.mark.anyio
async def test_a_terminal_asks_for_approvals_and_cancels(server: FakeServer) -> None:
    server.script = lambda run, message, text: [
        started(message),
        *([("approval_requested", APPROVAL)] if "drop" in text else []),
    ]
    async with Terminal("--url", server.url, "--token", "t") as terminal:
        await terminal.shows("›")
        terminal.type("drop it\r")
        at = await terminal.shows("Allow delete(table='usage')? [y/n]")
        terminal.type("y\r")
        at = await terminal.shows("approved", after=at)
        at = await terminal.shows("›", after=at)
        terminal.type("wait\r")
        while len(server.executed) < 3:
            await asyncio.sleep(0)
        server.append(("agent_thinking", {"text": "Still at it"}), thread="t1", run="r3")
        at = await terminal.shows("Still at it", after=at)
        terminal.process.send_signal(signal.SIGINT)
        at = await terminal.shows("cancelled", after=at)
        assert server.executed[3]["run_id"] == "r3"
        await terminal.shows("›", after=at)
        terminal.type("\x03")
        assert await terminal.process.wait() == 0


@pytest.mark.anyio
async def test_a_terminal_goes_on_in_the_same_answer_after_a_drop(server: FakeServer) -> None:
    server.script = lambda run, message, text: [started(message), piece("First half, ", 0)]
    async with Terminal("--url", server.url, "--token", "t") as terminal:
        await terminal.shows("›")
        terminal.type("x\r")
        at = await terminal.shows("First half,")
        await server.stop()
        at = await terminal.shows("reconnecting…", after=at)
        await server.start()
        at = await terminal.shows("connected again", after=at)
        server.append(piece("second half.", 12), thread="t1", run="r1")
        at = await terminal.shows("First half, second half.", after=at)
        done = completed("succeeded", "First half, second half.")
        server.append(done, thread="t1", run="r1")
        await terminal.shows("›", after=at)
        terminal.type("\x04")
        assert await terminal.process.wait() == 0
