"""Writing the answer: pieces coalesced, and in a replay compared with what the log has."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from goldenpath.engine.journal import Part
from goldenpath.model.events import AgentOutput
from goldenpath.model.ids import PartId

if TYPE_CHECKING:
    from goldenpath.engine.execution import Execution

_PIECE = 64 * 1024


class AnswerWriter:
    """The pieces of one attempt. A part is what is written between two steps."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._journal = execution.run.journal
        self._coalesce = execution.limits.coalesce_seconds
        self._limit = execution.limits.answer_bytes
        self._bytes = 0
        self._index = 0
        self._part: PartId | None = None
        self._recorded: str | None = None
        self._met = 0
        self._buffer: list[str] = []
        self._ticks = execution.engine.ticks
        self._armed = False
        self._closed = False

    def write(self, text: str) -> None:
        """Take a piece; it is in the log within the coalescing interval."""
        if not text:
            return
        # Encoding refuses lone surrogates, which have no UTF-8; ASCII cannot hold them.
        self._bytes += len(text) if text.isascii() else len(text.encode())
        if self._bytes > self._limit:
            self._execution.fail(f"the answer has more than {self._limit} bytes")
            raise asyncio.CancelledError
        if self._part is None:
            self._open_part()
        if self._recorded is not None:
            rest = self._compare(text)
            if not rest:
                return
            text = rest
        self._buffer.append(text)
        if not self._armed:
            self._armed = True
            self._ticks.call_within(self._coalesce, self._on_tick)

    def _open_part(self) -> None:
        parts = self._journal.parts
        if self._index < len(parts):
            self._part = parts[self._index].part_id
            self._recorded, self._met = parts[self._index].text, 0
        else:
            self._part = PartId(self._execution.engine.ids.new())
        self._index += 1

    def _compare(self, text: str) -> str:
        """Equal text appends nothing, different text restarts the part; gives what is new."""
        assert self._recorded is not None and self._part is not None
        end = self._met + len(text)
        known = self._recorded[self._met : end]
        if text.startswith(known):
            self._met += len(known)
            if len(known) == len(text):
                return ""
            self._recorded = None
            return text[len(known) :]
        whole = self._recorded[: self._met] + text
        self._recorded = None
        self._emit(whole, restart=True)
        return ""

    def _emit(self, text: str, *, restart: bool) -> None:
        assert self._part is not None
        part = self._current()
        offset = 0 if restart or part is None else part.length
        bodies: list[AgentOutput] = []
        while text or not bodies:
            piece, text = text[:_PIECE], text[_PIECE:]
            bodies.append(
                AgentOutput(part_id=self._part, offset=offset, text=piece, restart=restart)
            )
            offset += len(piece)
            restart = False
        self._execution.engine.emit(self._execution.run, *bodies)

    def _current(self) -> Part | None:
        parts = self._journal.parts
        return parts[self._index - 1] if self._index <= len(parts) else None

    def _on_tick(self) -> None:
        self._armed = False
        if not (self._closed or self._execution.engine.outbox.fenced):
            self.flush()

    def flush(self) -> None:
        """Add what was written to the log."""
        if self._buffer:
            text = "".join(self._buffer)
            self._buffer.clear()
            self._emit(text, restart=False)

    def close_part(self) -> None:
        """What comes next is another part."""
        self.flush()
        if self._recorded is not None and self._met < len(self._recorded):
            text, self._recorded = self._recorded[: self._met], None
            self._emit(text, restart=True)
        self._part = None
        self._recorded = None

    def restart(self) -> None:
        """Drop what this part had."""
        self._buffer.clear()
        self.flush()
        if self._part is not None:
            self._recorded = None
            part = self._current()
            if part is not None and part.length:
                self._emit("", restart=True)

    def problem(self, returned: str | None) -> str | None:
        """Why what the agent returned cannot be an answer; None if it can."""
        if returned is None:
            return None
        try:
            size = len(returned.encode())
        except UnicodeEncodeError as error:
            return f"the answer is not Unicode text: {error}"
        return f"the answer has {size} bytes of {self._limit}" if size > self._limit else None

    def finish(self, returned: str | None) -> None:
        """Make the parts in the log the answer: what was written, or what was returned."""
        self.close_part()
        parts = self._journal.parts
        self._drop(self._index)
        if returned and returned != self._journal.text:
            self._drop(1)
            self._index = 0
            if parts:
                self._part = parts[0].part_id
                self._index = 1
                self._emit(returned, restart=True)
            else:
                self._open_part()
                self._emit(returned, restart=False)

    def _drop(self, first: int) -> None:
        """Close the parts from `first` on that this attempt did not write."""
        for index in range(first, len(self._journal.parts)):
            part = self._journal.parts[index]
            if part.length:
                self._part, self._index = part.part_id, index + 1
                self._emit("", restart=True)

    def close(self) -> None:
        """No more flushes by time; what was written stays until the end is written."""
        self._closed = True

    def detach(self) -> None:
        """Forget its execution, when everything is written."""
        self._closed = True
        del self._execution
