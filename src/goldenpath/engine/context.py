"""What an agent's code sees of its run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from threading import get_ident
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast

import msgspec

from goldenpath.engine.definitions import Tool
from goldenpath.errors import RunEndedError
from goldenpath.model.ids import RunId, ThreadId, UserId

if TYPE_CHECKING:
    from goldenpath.engine.execution import Execution

P = ParamSpec("P")
R = TypeVar("R")


class Message(msgspec.Struct, frozen=True):
    """An earlier question (`user`) or answer (`assistant`) of the thread."""

    role: Literal["user", "assistant"]
    text: str


class Approval(msgspec.Struct, frozen=True):
    """What the user decided; `decision` is `expired` when nobody did in time."""

    decision: Literal["approved", "denied", "expired", "cancelled"]
    reason: str | None = None

    def __bool__(self) -> bool:
        return self.decision == "approved"


class RunContext:
    """One run, as its agent's code sees it. Belongs to its event loop.

    Everything that may differ when the code is run again (time, random numbers, network) belongs
    into `call` or `step`, whose results are journaled. After the run's end, or in code of an
    earlier attempt, every method raises `RunEnded`.
    """

    def __init__(self, execution: Execution, history: Sequence[Message]) -> None:
        self._execution: Execution | None = execution
        self._thread = get_ident()  # asking for the running loop costs a system call
        self.user_id: UserId = execution.user
        self.thread_id: ThreadId = execution.run.thread_id
        self.run_id: RunId = execution.run.run_id
        self.attempt: int = execution.attempt
        self.history = history

    @property
    def deadline(self) -> float:
        """Seconds of active time that this run has left."""
        return self._open().budget.remaining

    def end(self) -> None:
        """Called by the engine: nothing of this context works any more."""
        self._execution = None

    def _open(self) -> Execution:
        execution = self._execution
        if execution is None:
            raise RunEndedError(f"run {self.run_id} has ended, or goes on in another attempt")
        if get_ident() != self._thread:
            raise RunEndedError(
                "a RunContext belongs to its event loop; use ToolContext in threads"
            )
        return execution

    async def think(self, text: str, *, step: str | None = None) -> None:
        """Tell the user what the agent is at: `agent_thinking`."""
        self._open().think(text, step)

    async def write(self, piece: str) -> None:
        """Write a piece of the answer: `agent_output`. Waits only if the store is far behind."""
        execution = self._execution
        if execution is None or get_ident() != self._thread:
            execution = self._open()
        if execution.write(piece):
            await execution.caught_up()

    async def restart(self) -> None:
        """Drop what was written since the last step: the client forgets it too."""
        self._open().restart_part()

    async def call(self, tool: Tool[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a tool: `tool_executing`, `tool_completed`; its result is journaled.

        Raises `ToolFailed(status, message)` unless it ended `ok`.
        """
        return cast("R", await self._open().call(tool, args, kwargs))

    async def step(
        self,
        name: str,
        function: Callable[P, R | Awaitable[R]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R:
        """Call `function` once and journal what it returns: for time, randomness, HTTP.

        A crash while it runs calls it again. The value comes back as JSON holds it.
        """
        return cast("R", await self._open().step(name, function, args, kwargs))

    async def agent(self, name: str, input: str) -> str:
        """Run another agent as a child run; gives its answer. Raises `ToolFailed`."""
        return await self._open().child(name, input)

    async def approve(
        self, prompt: str, *, arguments: dict[str, Any] | None = None, expires: float | None = None
    ) -> Approval:
        """Ask the user; waits, if need be for days (`expires` seconds), holding nothing."""
        return await self._open().approve(prompt, arguments or {}, expires)

    async def sleep(self, seconds: float) -> None:
        """Sleep durably: a restart does not lose it, and it spends none of the deadline."""
        await self._open().sleep(seconds)

    def report_usage(self, **numbers: float) -> None:
        """Add to the usage that `agent_completed` shows (tokens, cost...)."""
        self._open().report_usage(numbers)
