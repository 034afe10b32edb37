"""How a chat looks: on a terminal with Markdown as it streams, or as plain text for programs."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Protocol, TextIO

from goldenpath.client import MessageItem
from goldenpath.errors import ConfigError
from goldenpath.model.events import AgentCompleted, ToolCompleted, ToolExecuting, ToolProgress

SHOWN_ARGUMENTS = 160
"""Characters of a tool's arguments that are shown in a line."""


class View(Protocol):
    """What a chat shows and asks. An answer lies between `begin` and `end`."""

    def notice(self, text: str) -> None:
        """Something about the chat itself."""
        ...

    def message(self, item: MessageItem) -> None:
        """A message of the history."""
        ...

    def begin(self) -> None:
        """An answer is on its way."""
        ...

    def thinking(self, text: str) -> None:
        """What the agent says it does."""
        ...

    def tool_started(self, tool: ToolExecuting) -> None: ...
    def tool_progress(self, progress: ToolProgress) -> None: ...
    def tool_ended(self, tool: ToolCompleted) -> None: ...

    def answer(self, text: str) -> None:
        """The whole answer so far; it may differ from before in any place."""
        ...

    def end(self, completed: AgentCompleted | None) -> None:
        """The answer as it is now final; None where it will not be known here."""
        ...

    async def question(self) -> str | None:
        """Ask the user for a question; None at the end of the input."""
        ...

    async def approval(self, text: str) -> bool | None:
        """Ask the user for a yes or no; None at the end of the input."""
        ...


def clean(text: str) -> str:
    """Make control characters visible: what agents write may hold sequences for a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def show_call(tool: str | None, arguments: dict[str, Any]) -> str:
    """A call as one line: `sql(query='select "a"')`."""
    shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    if len(shown) > SHOWN_ARGUMENTS:
        shown = shown[: SHOWN_ARGUMENTS - 1] + "…"
    return clean(f"{tool or 'agent'}({shown})").replace("\n", " ")


def show_end(tool: ToolCompleted) -> str:
    """How a tool ended, as one line."""
    text = f"{tool.status}, {tool.duration_ms / 1000:.1f} s"
    if tool.attempts > 1:
        text += f", {tool.attempts} attempts"
    return text if tool.error is None else f"{text}: {clean(tool.error)}"


def show_progress(progress: ToolProgress) -> str:
    """A tool's progress, as one line."""
    share = "" if progress.fraction is None else f"{progress.fraction:.0%} "
    return share + clean(progress.text).replace("\n", " ")


def show_failure(completed: AgentCompleted) -> str | None:
    """What to say of a run that did not succeed."""
    if completed.status == "succeeded":
        return None
    if completed.error is None:
        return completed.status.replace("_", " ")
    return f"{completed.status.replace('_', ' ')}: {clean(completed.error.message)}"


class InputLines:
    """Lines of a file descriptor, one at a time, read by a thread that nobody waits for.

    It reads by `os.read`: a thread inside `sys.stdin` would hold its lock when the process ends.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._wanted = threading.Semaphore(0)
        self._asked = False
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._ended = False
        self._thread: threading.Thread | None = None

    async def next(self) -> str | None:
        """The next line without its end; None at the end of the input."""
        if self._ended and self._lines.empty():
            return None
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._read, args=(loop,), daemon=True)
            self._thread.start()
        if not self._asked and self._lines.empty():
            self._asked = True
            self._wanted.release()
        return await self._lines.get()

    def _take(self, line: str | None) -> None:
        self._asked = False
        self._ended = line is None
        self._lines.put_nowait(line)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        for line in self._split():
            try:
                loop.call_soon_threadsafe(self._take, line)
            except RuntimeError:  # the loop has ended, and nobody asks any more
                return

    def _split(self) -> Iterator[str | None]:
        rest = b""
        self._wanted.acquire()
        while chunk := os.read(self._descriptor, 65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace").removesuffix("\r")
                self._wanted.acquire()
        if rest:
            yield rest.decode(errors="replace")
            self._wanted.acquire()
        yield None


class PlainView:
    """For programs: answers, once complete, go to `out`, everything else to `side`."""

    def __init__(
        self, lines: InputLines, out: TextIO | None = None, side: TextIO | None = None
    ) -> None:
        self._lines = lines
        self._out = out or sys.stdout
        self._side = side or sys.stderr
        self._tools: dict[str, str] = {}

    def _tell(self, text: str) -> None:
        print(text, file=self._side, flush=True)

    def notice(self, text: str) -> None:
        self._tell(f"# {clean(text)}")

    def message(self, item: MessageItem) -> None:
        mark = ">" if item.role == "user" else "<"
        for line in clean(item.text).splitlines():
            self._tell(f"{mark} {line}")

    def begin(self) -> None:
        self._tools.clear()

    def thinking(self, text: str) -> None:
        self._tell(f"- {clean(text)}")

    def tool_started(self, tool: ToolExecuting) -> None:
        self._tools[tool.call_id] = tool.tool
        self._tell(f"* {show_call(tool.tool, tool.arguments)}")

    def tool_progress(self, progress: ToolProgress) -> None:
        name = self._tools.get(progress.call_id, "tool")
        self._tell(f"* {clean(name)}: {show_progress(progress)}")

    def tool_ended(self, tool: ToolCompleted) -> None:
        self._tell(f"* {clean(tool.tool)}: {show_end(tool)}")

    def answer(self, text: str) -> None:
        pass  # a line that was printed cannot be taken back, so the answer waits for its end

    def end(self, completed: AgentCompleted | None) -> None:
        if completed is None:
            return
        if completed.output:
            print(clean(completed.output).rstrip("\n"), file=self._out, flush=True)
        failure = show_failure(completed)
        if failure is not None:
            self._tell(f"! {failure}")

    async def question(self) -> str | None:
        return await self._lines.next()

    async def approval(self, text: str) -> bool | None:
        self._tell(f"? {text} [y/n]")
        while (line := await self._lines.next()) is not None:
            choice = read_choice(line)
            if choice is not None:
                return choice
            self._tell("? y or n")
        return None


def read_choice(line: str) -> bool | None:
    """Read a yes or no; None for anything else."""
    return {"y": True, "yes": True, "n": False, "no": False}.get(line.strip().lower())


def terminal_view(on_interrupt: Callable[[], None]) -> View:
    """The view of a terminal. Raises `ConfigError` where what it needs is not installed."""
    try:
        from goldenpath.cli.chat_terminal import TerminalView
    except ImportError as error:
        raise ConfigError(
            f"chat: {error.name} is not installed; run: pip install 'goldenpath[chat]'"
        ) from None
    return TerminalView(on_interrupt)
