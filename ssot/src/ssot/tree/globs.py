"""Patterns for paths, as `ssot.toml` has them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Tells whether a relative posix path matches one of the patterns.

    A pattern without a slash is for any part of the path (`backup*`, `conftest.py`); one with a
    slash is for the path from its beginning, or a folder on its way. `**` is for any folders.
    """
    parts = [_expression(pattern.strip("/"), anywhere="/" not in pattern.strip("/"))
             for pattern in patterns if pattern.strip("/")]  # fmt: skip
    if not parts:
        return lambda _: False
    found = re.compile("|".join(parts)).match
    return lambda path: found(path) is not None


def _expression(pattern: str, *, anywhere: bool) -> str:
    body = ""
    index = 0
    while index < len(pattern):
        if pattern.startswith("**/", index):
            body += "(?:[^/]+/)*"
            index += 3
        elif pattern.startswith("**", index):
            body += ".*"
            index += 2
        elif pattern[index] == "*":
            body += "[^/]*"
            index += 1
        elif pattern[index] == "?":
            body += "[^/]"
            index += 1
        else:
            body += re.escape(pattern[index])
            index += 1
    return f"{'(?:.*/)?' if anywhere else ''}{body}(?:/.*)?$"
