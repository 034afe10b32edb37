"""Frames as Server-Sent Events: only `id:` and `data:` lines, each block ends with a blank line."""

from __future__ import annotations

import re

from goldenpath.errors import InvalidError
from goldenpath.model.ids import ORIGIN_MARK, Mark, Seq
from goldenpath.store.interface import Position

_ID = re.compile(r"([A-Za-z0-9_-]{1,64}):([0-9]{1,18})")


def encode_block(frame: bytes, position: Position) -> bytes:
    """One event: the frame, and the position after it as its id."""
    return b"id: %s:%d\ndata: %s\n\n" % (position.mark.encode(), position.cursor, frame)


def parse_position(
    last_event_id: str | None, after: str | None, mark: str | None
) -> Position | None:
    """Where to read from; None means from the head. `Last-Event-ID` wins over the query.

    Raises InvalidError for an id or a number that is none, and for `after` > 0 without `mark`.
    """
    if last_event_id:
        found = _ID.fullmatch(last_event_id)
        if found is None:
            raise InvalidError("Last-Event-ID: is not <mark>:<cursor>")
        return Position(Mark(found[1]), Seq(int(found[2])))
    if after is None:
        if mark is not None:
            raise InvalidError("mark: goes with after")
        return None
    if not (after.isascii() and after.isdigit() and len(after) <= 18):
        raise InvalidError(f"after: {after[:20]!r} is not a number >= 0")
    if mark is not None and len(mark) > 64:
        raise InvalidError("mark: may have 64 characters")
    cursor = int(after)
    if mark is None:
        if cursor > 0:
            raise InvalidError("after: needs mark beside it")
        return Position(ORIGIN_MARK, Seq(0))
    return Position(Mark(mark), Seq(cursor))
