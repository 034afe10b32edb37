"""Commands on their way: kept, in order and under their ids, until the server has answered."""

from __future__ import annotations

import asyncio

from goldenpath.client.frames import encode_frame
from goldenpath.errors import InvalidError, RefusedError
from goldenpath.wire.frames import Accepted, CommandFrame, Refused

UNKNOWN_OUTCOME = frozenset({"unavailable"})
"""Refusals after which the same id is sent again: the command may have been taken."""


class Pending:
    """A command without an answer yet. `written` is about the present socket."""

    __slots__ = ("answer", "frame", "text", "written")

    def __init__(self, frame: CommandFrame, answer: asyncio.Future[Accepted]) -> None:
        self.frame = frame
        self.text = encode_frame(frame)
        self.answer = answer
        self.written = False


class Outbox:
    """At most `bound` commands; the next is refused with `queue_full`."""

    def __init__(self, bound: int = 1000) -> None:
        self._bound = bound
        self._commands: dict[str, Pending] = {}
        self.largest = 256 * 1024
        """Bytes of a frame that the server takes."""

    def __len__(self) -> int:
        return len(self._commands)

    @property
    def unanswered(self) -> list[CommandFrame]:
        """The commands without an answer, oldest first."""
        return [pending.frame for pending in self._commands.values()]

    def add(self, frame: CommandFrame) -> asyncio.Future[Accepted]:
        """Keep a command; the future has its answer, or `RefusedError`."""
        known = self._commands.get(frame.id)
        if known is not None:
            if known.frame != frame:
                raise RefusedError("id_reused", f"{frame.id} is the id of another command")
            return known.answer
        if len(self._commands) >= self._bound:
            raise RefusedError(
                "queue_full", f"{self._bound} commands wait for the server", retryable=True
            )
        try:
            pending = Pending(frame, asyncio.get_running_loop().create_future())
        except UnicodeEncodeError as error:
            raise InvalidError(f"the text is not Unicode: {error}") from error
        size = len(pending.text.encode())
        if size > self.largest:
            raise InvalidError(f"the command has {size} bytes of {self.largest}", code="too_large")
        self._commands[frame.id] = pending
        return pending.answer

    def withdraw(self, id: str) -> None:
        """Nobody waits for this command any more: forget it."""
        self._commands.pop(id, None)

    def unwritten(self) -> Pending | None:
        """The oldest command that the present socket has not carried."""
        for pending in self._commands.values():
            if not pending.written:
                return pending
        return None

    def rewind(self) -> None:
        """There is a new socket: every unanswered command goes again."""
        for pending in self._commands.values():
            pending.written = False

    def accepted(self, frame: Accepted) -> None:
        """Give a command its answer; a second answer to it is nothing new."""
        pending = self._commands.pop(frame.id, None)
        if pending is not None and not pending.answer.done():
            pending.answer.set_result(frame)

    def refused(self, frame: Refused) -> bool:
        """Give a command its refusal; True where it must be sent again instead."""
        pending = None if frame.id is None else self._commands.get(frame.id)
        if pending is None:
            return False
        if frame.error.code in UNKNOWN_OUTCOME:
            pending.written = False
            return True
        self.withdraw(pending.frame.id)
        self._refuse(pending, frame.error.code, frame.error.message, frame.error.retryable)
        return False

    def refuse_largest(self) -> None:
        """The server closed for a frame over its limit: it can only have been the largest."""
        written = [pending for pending in self._commands.values() if pending.written]
        if written:
            largest = max(written, key=lambda pending: len(pending.text.encode()))
            self.withdraw(largest.frame.id)
            self._refuse(largest, "too_large", "the server does not take so large a frame", False)

    def fail(self, error: Exception) -> None:
        """The client has stopped: every command ends with `error`."""
        for pending in self._commands.values():
            if not pending.answer.done():
                pending.answer.set_exception(error)
                pending.answer.exception()  # whoever left does not need to be told
        self._commands.clear()

    @staticmethod
    def _refuse(pending: Pending, code: str, message: str, retryable: bool) -> None:
        if not pending.answer.done():
            pending.answer.set_exception(RefusedError(code, message, retryable=retryable))
            pending.answer.exception()
