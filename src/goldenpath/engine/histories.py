"""What was said before in a thread, as its agents are given it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from goldenpath.engine.context import Message
from goldenpath.engine.run import Run
from goldenpath.model.ids import ThreadId
from goldenpath.store.interface import History

_THREADS_MOST = 100

Read = Callable[[ThreadId], Awaitable[History | None]]


class Histories:
    """Recent messages of one user's threads, each read once and then kept up to date.

    `most` messages of a thread are kept.
    """

    def __init__(self, read: Read, most: int) -> None:
        self._read = read
        self._most = most
        self._known: dict[ThreadId, list[Message]] = {}

    async def before(self, run: Run) -> list[Message]:
        """Questions and answers of its thread that ended before this run began."""
        if not run.root:
            return []
        known = self._known.get(run.thread_id)
        if known is not None and run.attempts == 1:
            return list(known)
        started = run.journal.started_seq or 0
        history = await self._read(run.thread_id)
        messages: list[Message] = []
        if history is not None:
            ended = (r for r in history.runs if r.last_seq is not None and r.last_seq < started)
            for row in sorted(ended, key=lambda r: r.last_seq or 0):
                messages.extend(_messages(row.text, row.output))
        if run.attempts == 1:
            self._known[run.thread_id] = list(messages)
        return messages

    def begin(self, thread_id: ThreadId) -> None:
        """A thread that was created now has no history to read."""
        self._known[thread_id] = []

    def forget(self, thread_id: ThreadId) -> None:
        """A thread was deleted."""
        self._known.pop(thread_id, None)

    def add(self, run: Run) -> None:
        """A root run has ended."""
        known = self._known.get(run.thread_id)
        if known is not None:
            known.extend(_messages(run.text, run.journal.text))
            del known[: -self._most]
        while len(self._known) > _THREADS_MOST:
            self._known.pop(next(iter(self._known)))

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()


def _messages(question: str, answer: str | None) -> list[Message]:
    messages = [Message("user", question)]
    if answer:
        messages.append(Message("assistant", answer))
    return messages
