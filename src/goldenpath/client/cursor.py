"""Reading a user's log: a cursor that accepts each entry once, in order, and notices a gap.

`Reader` does no I/O. It is fed the frames of any number of sockets, one after the other, and
says of each what it was: fresh events, a repeat, a violation, or a reset.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from goldenpath.errors import UNREADABLE, CodecError
from goldenpath.model.entries import EncodedEntry, Entry, decode
from goldenpath.model.events import EVENT_TYPES
from goldenpath.wire.frames import Events, Welcome


class Position(NamedTuple):
    """A place in a log: everything up to `cursor` was read, of the activation `mark`."""

    mark: str
    cursor: int


class Fresh(NamedTuple):
    """Events that were not read before; empty where all was hidden or unknown."""

    events: list[Entry]


class Repeat(NamedTuple):
    """A frame that ends at or before the cursor: read already, nothing to do."""


class Violation(NamedTuple):
    """A frame that does not continue the log; the position stays where it was."""

    reason: str


class Reset(NamedTuple):
    """The log is another one: what was read before is void. The position is the new one."""


class Counts(msgspec.Struct):
    """What a reader met, for diagnostics."""

    frames: int = 0
    events: int = 0
    hidden: int = 0
    repeats: int = 0
    violations: int = 0
    resets: int = 0
    unknown: int = 0
    """Events of a type, or with content, newer than this client."""


class _Head(msgspec.Struct):
    seq: int
    type: str


_head_decoder = msgspec.json.Decoder(_Head)


class Reader:
    """A cursor. `position` is None until the first welcome, where it began at the head."""

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        self.counts = Counts()

    def welcome(self, frame: Welcome) -> Fresh | Reset | Violation:
        """Take the answer to a hello that named `position`."""
        before = self.position
        if before is not None and not frame.reset and frame.cursor != before.cursor:
            return self._violation(f"asked for {before.cursor}, welcomed at {frame.cursor}")
        if before is None or frame.reset:
            self.position = Position(frame.mark, frame.cursor)
        if before is not None and frame.reset:
            self.counts.resets += 1
            return Reset()
        return Fresh([])

    def feed(self, frame: Events) -> Fresh | Repeat | Violation:
        """Take a frame of events; on a violation nothing of it counts."""
        if self.position is None:
            return self._violation("events before the welcome")
        cursor = self.position.cursor
        if frame.from_ <= frame.to <= cursor:
            self.counts.repeats += 1
            return Repeat()
        try:
            heads = [_head_decoder.decode(raw) for raw in frame.events]
        except UNREADABLE as error:
            return self._violation(f"not an event: {error}")
        wrong = _wrong(frame, cursor, heads)
        if wrong is not None:
            return self._violation(wrong)
        read = map(_read, heads, frame.events)
        entries = [entry for entry in read if entry is not None]
        self.position = Position(frame.mark, frame.to)
        counts = self.counts
        counts.frames += 1
        counts.events += len(entries)
        counts.hidden += frame.hidden
        counts.unknown += len(heads) - len(entries)
        return Fresh(entries)

    def _violation(self, reason: str) -> Violation:
        self.counts.violations += 1
        return Violation(reason)


def _wrong(frame: Events, cursor: int, heads: list[_Head]) -> str | None:
    """Why a frame does not go on at `cursor`, or has less or more than it counts."""
    if frame.from_ != cursor:
        return f"frame from {frame.from_} at cursor {cursor}"
    if frame.hidden < 0 or frame.to - frame.from_ != len(heads) + frame.hidden:
        size = f"{len(heads)} events and {frame.hidden} hidden"
        return f"frame from {frame.from_} to {frame.to} has {size}"
    last = cursor
    for head in heads:
        if not last < head.seq <= frame.to:
            return f"seq {head.seq} after {last} in a frame to {frame.to}"
        last = head.seq
    return None


def _read(head: _Head, raw: msgspec.Raw) -> Entry | None:
    """Decode an event; None for one that is newer than this client."""
    if head.type not in EVENT_TYPES:
        return None
    try:
        return decode(EncodedEntry(head.seq, head.type, False, bytes(raw)))
    except CodecError:
        return None
