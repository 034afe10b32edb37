"""Cuts a question into words, numbers, dates, quoted texts and signs. Pure; accepts any text."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date
from typing import Literal

MAX_TOKENS = 200
"""A question is a sentence; what is longer is cut here, and the caller says so."""

_TOKEN = re.compile(
    r"""
      (?P<quoted>"[^"]*"|\u201c[^\u201d]*\u201d|(?<!\w)'[^']*'(?!\w))
    | (?P<date>\d{4}-\d{2}-\d{2}(?![\w-]))
    | (?P<month>\d{4}-\d{2}(?![\w-]))
    | (?P<number>
        (?:(?<![\w)])-)?[$€£]?                        # -5, $5; but gpt-4 is no minus
        (?:\d{1,3}(?:,\d{3})+|\d{1,18})(?:\.\d{1,9})?
        (?![^\W_]|[.,]\d))                           # 4o is a word
    | (?P<word>[^\W_]+(?:['\u2019][^\W\d_]+)?)
    | (?P<sign><=|>=|!=|<>|[≤≥≠<>=,&+/%]|(?<=\s)[-*^|~](?=\s))
    """,
    re.VERBOSE,
)
_SIGNS = {"≤": "<=", "≥": ">=", "≠": "!=", "<>": "!="}

TokenKind = Literal["word", "number", "date", "month", "quoted", "sign"]


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `text` is as written, `key` its lower case, `stem` without its plural."""

    kind: TokenKind
    text: str
    key: str
    stem: str


def tokens(text: str) -> list[Token]:
    """All tokens of a text, in order; characters that belong to none separate."""
    found: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind: TokenKind = match.lastgroup  # type: ignore[assignment]
        found.append(_token(kind, match.group()))
    return found


def _token(kind: TokenKind, text: str) -> Token:
    key = text.lower().replace("\u2019", "'")
    if kind == "quoted":
        key = text[1:-1]
    elif kind == "number":
        key = key.lstrip("$€£").replace(",", "").replace("$", "").replace("€", "").replace("£", "")
    elif kind == "sign":
        key = _SIGNS.get(key, key)
    elif kind == "word":
        key = key.removesuffix("'s")
    elif not _is_date(key if kind == "date" else f"{key}-01"):
        kind = "word"
    return Token(kind, text, key, stem(key) if kind == "word" else key)


def _is_date(text: str) -> bool:
    try:
        return 1000 < date.fromisoformat(text).year < 9999
    except ValueError:
        return False


def stem(word: str) -> str:
    """A word without its English plural; crude, and the same for names and questions."""
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def name_stems(name: str) -> tuple[str, ...]:
    """The stems of a column's or table's name: `cost_usd`, `costUSD` -> ("cost", "usd")."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(token.stem for token in tokens(spaced))


_MONTHS: dict[str, int] = {
    name.lower(): number
    for names in (calendar.month_name, calendar.month_abbr)
    for number, name in enumerate(names)
    if name
} | {"sept": 9}


def month_number(key: str) -> int | None:
    """1 to 12 for an English month's name or its short form."""
    return _MONTHS.get(key)
