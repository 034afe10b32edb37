"""An agent that does what a script says: for tests of everything around agents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import Agent, Tool
from goldenpath.errors import ConfigError

Results = list[Any]
"""What the calls, children and approvals of a run gave so far, in their order."""


class Think:
    """`agent_thinking`."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def play(self, run: RunContext, results: Results) -> None:
        await run.think(self.text)


class Write:
    """A piece of the answer; a function makes it of the results so far."""

    def __init__(self, text: str | Callable[[Results], str]) -> None:
        self.text = text

    async def play(self, run: RunContext, results: Results) -> None:
        await run.write(self.text if isinstance(self.text, str) else self.text(results))


class Call:
    """A call of a tool, with arguments by name. Its failure fails the run."""

    def __init__(self, tool: Tool[..., Any], **arguments: Any) -> None:
        self.tool = tool
        self.arguments = arguments

    async def play(self, run: RunContext, results: Results) -> None:
        results.append(await run.call(self.tool, **self.arguments))


class AskAgent:
    """A child run of another agent."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text

    async def play(self, run: RunContext, results: Results) -> None:
        results.append(await run.agent(self.name, self.text))


class Approve:
    """A question to the user; the result is an `Approval`. `expires` is seconds."""

    def __init__(self, prompt: str, *, expires: float | None = None) -> None:
        self.prompt = prompt
        self.expires = expires

    async def play(self, run: RunContext, results: Results) -> None:
        results.append(await run.approve(self.prompt, expires=self.expires))


class Sleep:
    """A durable wait of `seconds`; with a `FakeClock` it is over when that says so."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    async def play(self, run: RunContext, results: Results) -> None:
        await run.sleep(self.seconds)


class Fail:
    """The agent raises this."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def play(self, run: RunContext, results: Results) -> None:
        raise self.error


Act = Think | Write | Call | AskAgent | Approve | Sleep | Fail


class ScriptedAgent(Agent):
    """Plays a script: a list of acts for every message, or one for each message by its text.

    A message that no script is for fails its run, and the error names those that there are.
    `received` has the messages in the order of their first attempts. Without `tools`, they are
    those of the script's calls.
    """

    def __init__(
        self,
        name: str,
        script: Sequence[Act] | Mapping[str, Sequence[Act]],
        *,
        description: str = "",
        tools: Sequence[Tool[..., Any]] | None = None,
        version: str = "1",
        recover: Literal["replay", "fail"] = "replay",
        deadline: float | None = None,
    ) -> None:
        self.received: list[str] = []
        self._script = script
        scripts = list(script.values()) if isinstance(script, Mapping) else [script]
        if tools is None:
            called = [act.tool for acts in scripts for act in acts if isinstance(act, Call)]
            tools = list(dict.fromkeys(called))
        super().__init__(
            name,
            self._play,
            description=description,
            tools=tools,
            version=version,
            recover=recover,
            deadline=deadline,
        )

    async def _play(self, run: RunContext, message: str) -> None:
        if run.attempt == 1:
            self.received.append(message)
        results: Results = []
        for act in self._acts(message):
            await act.play(run, results)

    def _acts(self, message: str) -> Sequence[Act]:
        if not isinstance(self._script, Mapping):
            return self._script
        acts = self._script.get(message)
        if acts is None:
            known = ", ".join(repr(text) for text in self._script)
            raise ConfigError(f"{self.name}: no script for {message!r}; there are {known}")
        return acts
