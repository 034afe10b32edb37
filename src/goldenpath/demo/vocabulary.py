"""Names what each part of a question is: a column, a value, a period, a keyword, or unknown. Pure.

Columns and values are the file's own; keywords are this module's tables. The longest match wins,
and a word that is none of them stays `unknown`, for the answer to name.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from goldenpath.demo.schema import Column, Table
from goldenpath.demo.words import Token, month_number, name_stems, stem, tokens

ItemKind = Literal[
    "column",
    "value",
    "number",
    "period",
    "quoted",
    "key",
    "grain",
    "rows",
    "filler",
    "unknown",
]
Grain = Literal["day", "week", "month", "quarter", "year"]

_PHRASES: dict[str, str] = {
    "sum": "total, totals, sum, overall, altogether, how much",
    "avg": "average, averages, mean, avg, on average",
    "count": "how many, count, counts, number of",
    "top": "top",
    "most": "highest, largest, most, biggest, greatest, longest, maximum, max",
    "bottom": "bottom",
    "least": "lowest, smallest, least, fewest, shortest, minimum, min",
    "cheapest": "cheapest",
    "by": "by, per, each, every, for each, for every, of each, in each, grouped by, group by, "
    "split by, broken down by",
    "overtime": "over time, through time, trend, timeline",
    "where": "where, with, whose, having, when",
    ">": "more than, greater than, over, above, larger than, higher than, bigger than, "
    "longer than, exceeding, >",
    "<": "less than, fewer than, under, below, smaller than, lower than, shorter than, <",
    ">=": "at least, >=",
    "<=": "at most, up to, <=",
    "=": "equals, equal to, =",
    "!=": "!=",
    "is": "is, are, was, were",
    "not": "not, isn't, aren't, except, except for, excluding, without, other than, but not",
    "between": "between",
    "and": "and, as well as, &",
    ",": ",",
    "or": "or",
    "vs": "vs, versus, against, compared to, compared with",
    "compare": "compare, comparison of, difference between",
    "since": "since",
    "after": "after",
    "before": "before",
    "until": "until, till",
    "from": "from",
    "to": "to",
    "last": "last, past",
    "contains": "contains, contain, containing",
}
_FILLER_WORDS = """
a an the of in on for at during be been do does did has have had show give tell list display get
find me us i we our their its it please what what's which who there that those all can could you
would will want need see know let used use uses make makes made value values data file table within
across may just so hi hello hey ok thanks thank
"""
_FILLERS = frozenset(_FILLER_WORDS.split())
_KEYS: dict[tuple[str, ...], str] = {
    tuple(token.key for token in tokens(phrase)) or (phrase.strip(),): key
    for key, phrases in _PHRASES.items()
    for phrase in ([","] if key == "," else phrases.split(","))
}
_GRAINS: dict[str, Grain] = {
    word: grain
    for grain in ("day", "week", "month", "quarter", "year")
    for word in (grain, grain + "s")
}
_GRAIN_ADVERBS: dict[str, Grain] = {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "yearly": "year",
    "annual": "year",
    "annually": "year",
}
_ROWS = frozenset({"row", "record", "entry", "line"})
_COUNTING = "one two three four five six seven eight nine ten eleven twelve"
_NUMBER_WORDS = {word: str(n) for n, word in enumerate(_COUNTING.split(), start=1)}
_COST = "cost spend spending spent expense expensive money paid pay"
_SYNONYMS: tuple[frozenset[str], ...] = (
    frozenset(_COST.split()),
    frozenset({"request", "call"}),
    frozenset({"date", "day"}),
    frozenset({"revenue", "sale", "turnover"}),
    frozenset({"customer", "client"}),
)
_PREPOSITIONS = """
in during since after before until till from to and or between vs versus against of for compare
"""
_BEFORE_MONTH = frozenset(_PREPOSITIONS.split())
_NAMEABLE = frozenset({"sum", "avg", "count", "top", "last"})
_LONGEST = 8


@dataclass(frozen=True, slots=True)
class Period:
    """Days from `start` up to, without, `end`; `label` is how it is shown."""

    start: date
    end: date
    label: str


@dataclass(frozen=True, slots=True)
class Item:
    """A part of the question. `columns` holds more than one where a word fits several."""

    kind: ItemKind
    text: str
    key: str = ""
    columns: tuple[Column, ...] = ()
    values: tuple[str, ...] = ()
    period: Period | None = None
    grain: Grain | None = None
    adverb: bool = False

    @property
    def column(self) -> Column | None:
        """The column, where it is only one."""
        return self.columns[0] if len(self.columns) == 1 else None


def items(question: list[Token], table: Table, all_tables: tuple[str, ...]) -> list[Item]:
    """Name every part of a question about a table, in order."""
    lexicon = _Lexicon(table, all_tables)
    found: list[Item] = []
    index = 0
    while index < len(question):
        item, length = _next(question, index, lexicon, found)
        if item.key == "cheapest":
            found += _cheapest(item, lexicon)
        else:
            found.append(item)
        index += length
    return found


def _next(
    question: list[Token], index: int, lexicon: _Lexicon, before: list[Item]
) -> tuple[Item, int]:
    span = question[index : index + _LONGEST]
    for length in range(len(span), 0, -1):
        part = span[:length]
        text = " ".join(token.text for token in part)
        item = (
            lexicon.column(part, text, before)
            or lexicon.value(part, text, before)
            or _key(part, text)
            or lexicon.period(part, text, before)
            or lexicon.rows(part, text)
            or (_single(part[0], lexicon) if length == 1 else None)
        )
        if item is not None:
            return item, length
    return Item("unknown", span[0].text), 1


def _key(part: list[Token], text: str) -> Item | None:
    if any(token.kind not in ("word", "sign") for token in part):
        return None
    key = _KEYS.get(tuple(token.key for token in part))
    return None if key is None else Item("key", text, key=key)


def _single(token: Token, lexicon: _Lexicon) -> Item | None:
    if token.kind == "number":
        return Item("number", token.text, key=token.key)
    if token.kind == "quoted":
        return Item("quoted", token.text, key=token.key)
    if token.kind != "word":
        return None
    if token.key in _NUMBER_WORDS:
        return Item("number", token.text, key=_NUMBER_WORDS[token.key])
    if token.key in _GRAINS:
        return Item("grain", token.text, grain=_GRAINS[token.key])
    if token.key in _GRAIN_ADVERBS:
        return Item("grain", token.text, grain=_GRAIN_ADVERBS[token.key], adverb=True)
    if token.key in _FILLERS:
        return Item("filler", token.text, key=token.key)
    return lexicon.synonym(token)


def _cheapest(item: Item, lexicon: _Lexicon) -> list[Item]:
    cost = lexicon.synonym(tokens("expensive")[0])
    if cost is None:
        return [Item("unknown", item.text)]
    return [Item("key", item.text, key="least"), cost]


def _is_plain(token: Token) -> bool:
    """True for words that mean something without any file."""
    return (
        token.kind != "word"
        or token.key in _FILLERS
        or (token.key,) in _KEYS
        or token.key in _GRAINS
        or token.key in _GRAIN_ADVERBS
        or token.key in _NUMBER_WORDS
    )


def _is_structure(token: Token) -> bool:
    """True for plain words that stay what they are, even where a column has that name."""
    return token.key in _FILLERS or _KEYS.get((token.key,), "sum") not in _NAMEABLE


class _Lexicon:
    """The words of one table."""

    def __init__(self, table: Table, all_tables: tuple[str, ...]) -> None:
        self._table = table
        self._name = name_stems(table.name)
        self._foreign = {name_stems(name) for name in all_tables} - {self._name}
        self._stems = [(column, name_stems(column.name)) for column in table.columns]
        self._values: dict[tuple[str, ...], list[tuple[Column, str]]] = {}
        for column in table.columns:
            for value in column.values:
                key = tuple(token.key for token in tokens(value))
                if key:
                    self._values.setdefault(key, []).append((column, value))

    def column(self, part: list[Token], text: str, before: list[Item]) -> Item | None:
        """A column by its whole name, or by a part of it that no other word means."""
        if any(token.kind not in ("word", "number") for token in part):
            return None
        written = [c for c, _ in self._stems if c.name.lower() == text.lower().replace(" ", "_")]
        grouped = bool(before) and before[-1].key == "by"
        if written and (grouped or len(part) > 1 or not _is_structure(part[0])):
            return Item("column", text, columns=tuple(written[:1]))
        stems = tuple(token.stem for token in part)
        if len(part) == 1 and _is_plain(part[0]):
            return None
        if all(_is_plain(token) for token in part) and tuple(t.key for t in part) in _KEYS:
            return None
        whole = tuple(column for column, own in self._stems if own == stems)
        if whole:
            return Item("column", text, columns=whole)
        if _is_plain(part[0]) or _is_plain(part[-1]) or stems == self._name:
            return None
        within = tuple(column for column, own in self._stems if _within(stems, own))
        return Item("column", text, columns=within) if within else None

    def value(self, part: list[Token], text: str, before: list[Item]) -> Item | None:
        """A value of a text column; plain words are values only right behind their column."""
        if len(part) == 1 and part[0].kind == "quoted":
            key = tuple(token.key for token in tokens(part[0].key))
        else:
            key = tuple(token.key for token in part)
        found = self._values.get(key, [])
        if not found:
            return None
        if all(_is_plain(token) for token in part) and part[0].kind != "quoted":
            owner = _column_before(before)
            found = [(column, value) for column, value in found if column == owner]
        by_column = dict(reversed(found))
        if not by_column:
            return None
        columns = tuple(column for column in self._table.columns if column in by_column)
        return Item(
            "value",
            text,
            columns=columns,
            values=tuple(by_column[column] for column in columns),
        )

    def period(self, part: list[Token], text: str, before: list[Item]) -> Item | None:
        """A day, month, quarter or year, if the table has dates."""
        column = self._table.date
        if column is None or column.first is None or column.last is None:
            return None
        period = _period(part, text, before, column.first, column.last)
        return None if period is None else Item("period", text, period=period)

    def rows(self, part: list[Token], text: str) -> Item | None:
        """The table's name, or a word for its rows. Another table's name stays unknown."""
        stems = tuple(token.stem for token in part)
        if stems == self._name:
            return Item("rows", text, key="table")
        if stems in self._foreign:
            return Item("unknown", text)
        if len(part) == 1 and part[0].stem in _ROWS:
            return Item("rows", text)
        return None

    def synonym(self, token: Token) -> Item | None:
        """A column that a word of the same meaning names."""
        for group in _SYNONYMS:
            if token.stem in group:
                columns = tuple(c for c, own in self._stems if group.intersection(own))
                return Item("column", token.text, columns=columns) if columns else None
        return None


def _within(stems: tuple[str, ...], own: tuple[str, ...]) -> bool:
    size = len(stems)
    return any(own[start : start + size] == stems for start in range(len(own) - size + 1))


def _column_before(before: list[Item]) -> Column | None:
    for item in reversed(before):
        if item.kind == "column":
            return item.column
        if not (item.kind == "value" or item.key in ("is", "=", "!=", "not", "or", ",", "and")):
            return None
    return None


def _period(
    part: list[Token], text: str, before: list[Item], first: date, last: date
) -> Period | None:
    head = part[0]
    if len(part) == 1 and head.kind == "date":
        day = date.fromisoformat(head.key)
        return Period(day, day + timedelta(days=1), head.key)
    if len(part) == 1 and head.kind == "month":
        return _months(int(head.key[:4]), int(head.key[5:7]), 1)
    previous = before[-1].text.lower() if before else ""
    if len(part) == 1 and head.kind == "number" and head.text.isdigit() and len(head.text) == 4:
        after_preposition = previous in _BEFORE_MONTH or (bool(before) and before[-1].key == "is")
        return _months(int(head.text), 1, 12) if after_preposition and head.text > "1000" else None
    year: int | None = None
    if len(part) == 2 and part[1].kind == "number" and part[1].text.isdigit():
        year = int(part[1].text)
        if not 1000 < year < 9999:
            return None
    elif len(part) != 1:
        return None
    if head.kind != "word":
        return None
    if len(head.key) == 2 and head.key[0] == "q" and head.key[1] in "1234":
        start, count = 3 * int(head.key[1]) - 2, 3
    else:
        number = month_number(head.key)
        if number is None or (head.key == "may" and year is None and previous not in _BEFORE_MONTH):
            return None
        start, count = number, 1
    years = [year] if year is not None else _years_with(start, count, first, last)
    return _months(years[0], start, count) if len(years) == 1 else None


def _years_with(start: int, count: int, first: date, last: date) -> list[int]:
    """The years in which the data has that part; the only one, or the question must say it."""
    found: list[int] = []
    for year in range(max(first.year, 1001), min(last.year, 9998) + 1):
        period = _months(year, start, count)
        if period.start <= last and period.end > first:
            found.append(year)
            if len(found) > 1:
                break
    return found


def _months(year: int, start: int, count: int) -> Period:
    end_year, end_month = year + (start + count - 1) // 12, (start + count - 1) % 12 + 1
    if count == 12:
        label = str(year)
    elif count == 3:
        label = f"{year} Q{(start + 2) // 3}"
    else:
        label = f"{year}-{start:02d}"
    return Period(date(year, start, 1), date(end_year, end_month, 1), label)


def known_words(table: Table) -> list[str]:
    """Words that a mistyped one may have meant: the file's names and values, and the keywords."""
    words = [column.name for column in table.columns]
    words += [value for column in table.columns for value in column.values]
    words += [" ".join(key) for key in _KEYS if key[0].isalpha()]
    words += [*_GRAINS, *_GRAIN_ADVERBS]
    return list(dict.fromkeys(words))


def looks_like(word: str, column: Column) -> bool:
    """True where a word is a part of a value of the column: `claude` of `claude-3-5-haiku`."""
    wanted = stem(word.lower())
    return any(wanted in name_stems(value) for value in column.values)
