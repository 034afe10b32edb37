"""Matching for search: every word asked for is a prefix of a word of the text."""

from __future__ import annotations

import re
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, without case."""
    return _WORD.findall(text.casefold())


def matches(text: str, words: Sequence[str]) -> bool:
    """True if each of `words` (from `words_of`) begins a word of `text`."""
    found = words_of(text)
    return all(any(word.startswith(wanted) for word in found) for wanted in words)
