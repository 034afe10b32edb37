"""The piece of a text around the first word that was searched for."""

from __future__ import annotations

import re
from collections.abc import Sequence

_AROUND = 60
_WORD = re.compile(r"\w+")


def snippet(text: str, words: Sequence[str]) -> str:
    """About 120 characters around the first match, cut at the edges with an ellipsis."""
    at = 0
    for found in _WORD.finditer(text):
        if any(found[0].casefold().startswith(word) for word in words):
            at = found.start()
            break
    start, end = max(at - _AROUND, 0), at + _AROUND
    piece = " ".join(text[start:end].split())
    return ("…" if start else "") + piece + ("…" if end < len(text) else "")
