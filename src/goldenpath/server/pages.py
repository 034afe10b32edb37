"""Pages of lists: `limit`, and cursors that only this server can read."""

from __future__ import annotations

import base64
from typing import TypeVar

import msgspec
from starlette.requests import Request

from goldenpath.errors import UNREADABLE, InvalidError

T = TypeVar("T")
MOST_ITEMS = 200
DEFAULT_ITEMS = 50
PAGE = ("limit", "cursor")
"""The query parameters of a page."""


def limit_of(request: Request) -> int:
    """How many items are asked for. Raises InvalidError."""
    text = request.query_params.get("limit", str(DEFAULT_ITEMS))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= MOST_ITEMS:
        raise InvalidError(f"limit: must be 1 to {MOST_ITEMS}")
    return int(text)


def opaque(key: tuple[int] | tuple[int, str]) -> str:
    """A cursor of where the next page begins."""
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).decode().rstrip("=")


def cursor_of(request: Request, type_: type[T]) -> T | None:
    """What `opaque` made; None for the first page. Raises InvalidError for anything else."""
    text = request.query_params.get("cursor")
    if text is None:
        return None
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        key = msgspec.json.decode(data, type=type_)
        if not 0 <= key[0] < 2**53:  # type: ignore[index]
            raise ValueError("no such place")
    except (ValueError, *UNREADABLE):
        raise InvalidError("cursor: is not one that this server gave") from None
    return key
