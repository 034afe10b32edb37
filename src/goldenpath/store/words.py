"""Matching for search: every word asked for is a prefix of a word of the text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from goldenpath.model.views import RunRow
from goldenpath.store.interface import Found

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text, without case."""
    return _WORD.findall(text.casefold())


def matches(text: str, words: Sequence[str]) -> bool:
    """True if each of `words` (from `words_of`) begins a word of `text`."""
    folded = text.casefold()
    if not all(wanted in folded for wanted in words):
        return False  # most texts: searching reads all that a user ever wrote
    found = _WORD.findall(folded)
    return all(any(word.startswith(wanted) for word in found) for wanted in words)


def hits(row: RunRow, wanted: Sequence[str]) -> list[Found]:
    """What of a run matches, newest first: the answer is newer than its question."""
    found: list[Found] = []
    if row.output is not None and matches(row.output, wanted):
        found.append(Found(run=row, role="assistant"))
    if matches(row.text, wanted):
        found.append(Found(run=row, role="user"))
    return found
