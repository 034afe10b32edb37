"""A chat on a terminal: what is final scrolls away above, what may still change is drawn below."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from prompt_toolkit import PromptSession
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from goldenpath.cli.chat_view import (
    clean,
    read_choice,
    show_call,
    show_end,
    show_failure,
    show_progress,
)
from goldenpath.client import MessageItem
from goldenpath.model.events import AgentCompleted, ToolCompleted, ToolExecuting, ToolProgress

_TAIL = 8_000
"""Characters from the end of an answer that are drawn while it streams."""


def tail(text: str) -> str:
    """The end of a Markdown text, from the start of a paragraph where there is one."""
    if len(text) <= _TAIL:
        return text
    cut = text[-_TAIL:]
    return cut[cut.find("\n\n") + 1 :]


class TerminalView:
    """Draws with rich, asks with prompt_toolkit. Ctrl-C while it asks for an approval is told to
    `on_interrupt`; where it asks for a question, it is the end of the input.
    """

    def __init__(self, on_interrupt: Callable[[], None], console: Console | None = None) -> None:
        self._on_interrupt = on_interrupt
        self._console = console or Console(highlight=False)
        self._session: PromptSession[str] = PromptSession()
        self._live: Live | None = None
        self._tools: dict[str, tuple[str, str]] = {}
        self._answer = ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """What may still change: running tools, the end of the answer, a sign of life."""
        tools = list(self._tools.values())
        for name, progress in tools:
            yield Text(f"  ⚙ {name} {progress}", style="cyan", overflow="ellipsis", no_wrap=True)
        room = max(3, console.size.height - len(tools) - 3)
        lines = console.render_lines(Markdown(tail(clean(self._answer))), options, pad=False)
        for line in lines[-room:] if self._answer else []:
            yield from line
            yield Segment.line()
        yield self._spinner

    def notice(self, text: str) -> None:
        self._print(Text(clean(text), style="yellow"))

    def message(self, item: MessageItem) -> None:
        if item.role == "user":
            self._print(Text(f"> {clean(item.text)}", style="bold"))
        else:
            self._print(Markdown(clean(item.text)))

    def begin(self) -> None:
        self._tools.clear()
        self._answer = ""
        self._draw()

    def thinking(self, text: str) -> None:
        self._print(Text(f"  {clean(text)}", style="dim"))

    def tool_started(self, tool: ToolExecuting) -> None:
        self._tools[tool.call_id] = (show_call(tool.tool, tool.arguments), "")

    def tool_progress(self, progress: ToolProgress) -> None:
        if progress.call_id in self._tools:
            self._tools[progress.call_id] = (
                self._tools[progress.call_id][0],
                show_progress(progress),
            )

    def tool_ended(self, tool: ToolCompleted) -> None:
        call, _ = self._tools.pop(tool.call_id, (clean(tool.tool), ""))
        sign, style = ("✓", "cyan") if tool.status == "ok" else ("✗", "red")
        self._print(Text(f"  {sign} {call} ({show_end(tool)})", style=style))

    def answer(self, text: str) -> None:
        self._answer = text

    def end(self, completed: AgentCompleted | None) -> None:
        self._stop()
        if completed is None:
            return
        if completed.output:
            self._print(Markdown(clean(completed.output)))
        failure = show_failure(completed)
        if failure is not None:
            self._print(Text(failure, style="red"))
        self._print(Text(""))

    async def question(self) -> str | None:
        with contextlib.suppress(EOFError, KeyboardInterrupt):
            return await self._ask("› ")
        return None

    async def approval(self, text: str) -> bool | None:
        drawn = self._live is not None
        self._stop()
        try:
            while (choice := read_choice(await self._ask(f"{text} [y/n] "))) is None:
                pass
            return choice
        except EOFError:
            return None
        except KeyboardInterrupt:
            self._on_interrupt()
            return None
        finally:
            if drawn:
                self._draw()

    async def _ask(self, prompt: str) -> str:
        with patch_stdout(raw=True):
            return await self._session.prompt_async(prompt, handle_sigint=False)

    def _print(self, what: Text | Markdown) -> None:
        self._console.print(what)

    def _draw(self) -> None:
        self._spinner = Spinner("dots", style="dim")
        self._live = Live(self, console=self._console, transient=True, refresh_per_second=12)
        self._live.start()

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
