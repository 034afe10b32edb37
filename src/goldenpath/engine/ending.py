"""How an attempt that came to its end ended: what the user is told, and what the operator is."""

from __future__ import annotations

import asyncio
import traceback
from typing import Any, NamedTuple

from goldenpath.engine.run import Run
from goldenpath.errors import NondeterminismError, ProviderUnavailableError
from goldenpath.model import events

_DETAIL_CHARACTERS = 16_000


class Ending(NamedTuple):
    """`error` is for the user; `detail`, for the log of the operator alone, may hold anything."""

    status: events.RunOutcome
    error: events.RunError | None = None
    detail: str | None = None


def agent_failed(detail: str) -> Ending:
    """The agent's fault."""
    return Ending("failed", AGENT_ERROR, detail)


def nondeterministic(run: Run, version: str, what: str, detail: str | None = None) -> Ending:
    """The code asked for something else than was recorded, perhaps since it was changed."""
    changed = run.version is not None and run.version != version
    error = events.RunError(
        code="code_changed" if changed else "nondeterministic",
        message=(
            "The agent was changed while this run waited."
            if changed
            else "This run could not be continued after an interruption."
        ),
        retryable=True,
    )
    return Ending("failed", error, what if detail is None else f"{what}\n{detail}")


def ending_of(run: Run, version: str, body: asyncio.Future[Any]) -> Ending:
    """How the agent's code ended that was not stopped; whether its answer will do is not asked."""
    error = None if body.cancelled() else body.exception()
    unasked = run.journal.unasked()
    if unasked is not None:
        return nondeterministic(
            run,
            version,
            f"the agent ended without asking for {unasked.name!r}, which was recorded",
            None if error is None else stack_of(error),
        )
    if body.cancelled():
        return agent_failed("the agent's code raised CancelledError")
    if error is None:
        result = body.result()
        if result is not None and not isinstance(result, str):
            return agent_failed(f"the agent returned {type(result).__name__}, not text or None")
        return Ending("succeeded")
    if isinstance(error, ProviderUnavailableError):
        return Ending("failed", _PROVIDER_UNAVAILABLE, stack_of(error))
    if isinstance(error, NondeterminismError):
        return nondeterministic(run, version, str(error), stack_of(error))
    return agent_failed(stack_of(error))


def stack_of(error: BaseException) -> str:
    """An exception as it is printed; of a long one the end."""
    return "".join(traceback.format_exception(error))[-_DETAIL_CHARACTERS:]


AGENT_ERROR = events.RunError(
    code="agent_error", message="The agent failed while it worked on this.", retryable=True
)
EMPTY_ANSWER = events.RunError(
    code="empty_answer", message="The agent gave no answer.", retryable=True
)
DEADLINE_EXCEEDED = events.RunError(
    code="deadline_exceeded", message="The run's time was up.", retryable=True
)
_PROVIDER_UNAVAILABLE = events.RunError(
    code="provider_unavailable",
    message="A service that the agent needs is not available.",
    retryable=True,
)
