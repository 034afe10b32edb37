"""Finds the conditions of a question: values, comparisons, dates. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from goldenpath.demo.schema import Column, Table
from goldenpath.demo.sql import Filter, Group, quote, text, within
from goldenpath.demo.vocabulary import Item, Period

_COMPARISONS = frozenset({"<", "<=", ">", ">=", "=", "!="})
_LISTS = frozenset({"and", "or", ",", "vs"})
_WORDS = {
    "<": "is below",
    "<=": "is at most",
    ">": "is above",
    ">=": "is at least",
    "=": "is",
    "!=": "is not",
}


class Line:
    """The parts of a question, and which of them were read so far."""

    def __init__(self, parts: list[Item], table: Table) -> None:
        self.parts = parts
        self.table = table
        self.used = [False] * len(parts)
        self.notes: list[str] = []
        self.problems: list[str] = []
        """Why a part that is a known word could not be read."""

    def at(self, index: int) -> Item | None:
        """The unread part at an index, if any."""
        inside = 0 <= index < len(self.parts)
        return self.parts[index] if inside and not self.used[index] else None

    def key(self, index: int) -> str:
        """The keyword at an index, or nothing."""
        item = self.at(index)
        return item.key if item is not None and item.kind == "key" else ""

    def kind(self, index: int) -> str:
        """The kind of the part at an index, or nothing."""
        item = self.at(index)
        return "" if item is None else item.kind

    def column(self, index: int, kind: str) -> Column | None:
        """The column of that kind at an index, unless `by` stands before it (then it groups)."""
        item = self.at(index)
        if item is None or item.kind != "column" or self.key(index - 1) == "by":
            return None
        return item.column if item.column is not None and item.column.kind == kind else None

    def take(self, start: int, end: int) -> int:
        """Mark parts as read; gives `end`."""
        for index in range(start, end):
            self.used[index] = True
        return end


class Conditions:
    """The conditions of a line; `compared` are the groups that `A vs B` asks for."""

    def __init__(self, line: Line, *, comparing: bool) -> None:
        self._line = line
        self._comparing = comparing
        self.filters: list[Filter] = []
        self.compared: list[Group] = []
        readers: tuple[Callable[[int], int | None], ...] = (
            self._dates,
            self._numbers,
            self._values,
            self._texts,
        )
        index = 0
        while index < len(line.parts):
            ends = (reader(index) for reader in readers)
            index = next((end for end in ends if end is not None), index + 1)

    def _add(self, sql: str, words: str) -> None:
        self.filters.append(Filter(sql, words))

    # Dates: in March; since 2025-03-01; between A and B; last 7 days.

    def _dates(self, start: int) -> int | None:
        line = self._line
        named = line.column(start, "date")
        index = start + 1 if named is not None else start
        if line.key(index) == "is":
            index += 1
        column = named or line.table.date
        if column is None:
            return None
        end = self._date_range(index, column) or self._date_side(index, column)
        end = end or self._last(index, column) or self._date_list(index, column)
        if end is None:
            return None
        if named is None and len(line.table.of_kind("date")) > 1:
            line.notes.append(f"Dates are those of {column.name}.")
        return line.take(start, end)

    def _period(self, index: int) -> Period | None:
        item = self._line.at(index)
        return None if item is None else item.period

    def _date_range(self, index: int, column: Column) -> int | None:
        first, second = self._period(index + 1), self._period(index + 3)
        if first is None or second is None:
            return None
        joint = self._line.key(index + 2)
        pair = (self._line.key(index), joint)
        if pair not in {
            ("between", "and"),
            ("from", "to"),
            ("from", "until"),
            ("since", "until"),
        }:
            return None
        if second.end <= first.start:
            self._line.problems.append(f"{first.label} is after {second.label}")
            return None
        words = f"{column.name} is from {first.label} to {second.label}"
        self._add(within(column, first.start, second.end), words)
        return index + 4

    def _date_side(self, index: int, column: Column) -> int | None:
        period = self._period(index + 1)
        if period is None:
            return None
        sides: dict[str, tuple[date | None, date | None, str]] = {
            "since": (period.start, None, "is since"),
            "from": (period.start, None, "is since"),
            ">=": (period.start, None, "is since"),
            "after": (period.end, None, "is after"),
            ">": (period.end, None, "is after"),
            "before": (None, period.start, "is before"),
            "<": (None, period.start, "is before"),
            "until": (None, period.end, "is until"),
            "<=": (None, period.end, "is until"),
        }
        key = self._line.key(index)
        if key in ("not", "!="):
            inside = within(column, period.start, period.end)
            self._add(f"NOT ({inside})", f"{column.name} is not in {period.label}")
            return index + 2
        if key not in sides:
            return None
        begin, end, words = sides[key]
        self._add(within(column, begin, end), f"{column.name} {words} {period.label}")
        return index + 2

    def _last(self, index: int, column: Column) -> int | None:
        line = self._line
        number, unit = line.at(index + 1), line.at(index + 2)
        if line.key(index) != "last" or number is None or number.kind != "number" or unit is None:
            return None
        days = {"day": 1, "days": 1, "week": 7, "weeks": 7}.get(unit.text.lower())
        if days is None or column.last is None or not number.key.isdigit():
            return None
        count = int(number.key)
        if not 1 <= count <= 10_000:
            line.problems.append(f"{number.text} {unit.text} is out of range")
            return None
        span = f"the last {count} {unit.text.lower()}"
        since = column.last - timedelta(days=count * days - 1)
        line.notes.append(f"{span.capitalize()} end at {column.last}, the last day in the file.")
        self._add(within(column, since, None), f"{column.name} is in {span}")
        return index + 3

    def _date_list(self, index: int, column: Column) -> int | None:
        line = self._line
        if line.key(index) == "=":
            index += 1
        found: list[Period] = []
        while (period := self._period(index)) is not None:
            found.append(period)
            index += 1
            if line.key(index) in _LISTS and self._period(index + 1) is not None:
                index += 1
        if not found:
            return None
        ranges = [within(column, period.start, period.end) for period in found]
        words = " or ".join(period.label for period in found)
        sql = ranges[0] if len(ranges) == 1 else "(" + " OR ".join(ranges) + ")"
        self._add(sql, f"{column.name} is in {words}")
        if self._comparing and len(found) > 1:
            self.compared.append(Group(column, periods=tuple(found)))
        return index

    # Numbers: cost above 5; more than 5 requests; days between 3 and 7.

    def _numbers(self, start: int) -> int | None:
        column = self._line.column(start, "number")
        if column is None:
            return self._number_first(start)
        end = self._comparison(start + 1)
        if end is None:
            return None
        after, template, words = end
        owner = self._line.column(after, "number")
        if owner is not None and self._comparison(after + 1) is None:
            return None  # "total cost over 50 requests": the number belongs to what follows it
        self._add(template.format(quote(column.name)), f"{column.name} {words}")
        return self._line.take(start, after)

    def _number_first(self, start: int) -> int | None:
        if self._line.key(start) not in _COMPARISONS | {"between"}:
            return None
        end = self._comparison(start)
        if end is None:
            return None
        after, template, words = end
        column = self._line.column(after, "number")
        if column is None:
            return None
        self._add(template.format(quote(column.name)), f"{column.name} {words}")
        return self._line.take(start, after + 1)

    def _comparison(self, index: int) -> tuple[int, str, str] | None:
        """End, SQL with a hole for the column, and words of a comparison with numbers."""
        line = self._line
        sign = ""
        if line.key(index) == "is":
            sign = "="
            index += 1
        if line.key(index) == "not":
            sign = "!="
            index += 1
        elif line.key(index) in _COMPARISONS:
            sign = line.key(index)
            index += 1
        elif line.key(index) == "between" and line.key(index + 2) == "and":
            low, high = line.at(index + 1), line.at(index + 3)
            if low is None or high is None or {low.kind, high.kind} != {"number"}:
                return None
            sql = f"{{}} BETWEEN {low.key} AND {high.key}"
            return index + 4, sql, f"is from {low.text} to {high.text}"
        number = line.at(index)
        if not sign or number is None or number.kind != "number":
            return None
        return index + 1, f"{{}} {sign} {number.key}", f"{_WORDS[sign]} {number.text}"

    # Values of text columns: openai; team is research or platform; not google.

    def _values(self, start: int) -> int | None:
        line = self._line
        index = start
        negated = line.key(index) == "not"
        index += negated
        named = line.column(index, "text")
        if named is not None:
            index += 1
            while line.key(index) in ("is", "=", "not", "!="):
                negated = negated or line.key(index) in ("not", "!=")
                index += 1
        if line.kind(index) != "value":
            return None
        found, candidates, index = self._value_list(index)
        if named is not None and named not in candidates:
            return None
        behind = line.column(index, "text")
        if named is None and behind in candidates:
            named = behind
            index += 1
        if named is None and len(candidates) > 1:
            names = " or ".join(f"{column.name} {found[0].text}" for column in candidates)
            line.problems.append(f"“{found[0].text}” is in several columns; say {names}")
            return None
        self._choose(named or candidates[0], found, negated=negated)
        return line.take(start, index)

    def _value_list(self, index: int) -> tuple[list[Item], list[Column], int]:
        """The values that can be of one column, that column (or several), and the end."""
        line = self._line
        first = line.parts[index]
        found, candidates = [first], list(first.columns)
        index += 1
        while True:
            ahead = index
            while line.key(ahead) in _LISTS:
                ahead += 1
            item = line.at(ahead)
            if item is None or item.kind != "value" or ahead == index:
                return found, candidates, index
            shared = [column for column in candidates if column in item.columns]
            if not shared:
                return found, candidates, index
            found.append(item)
            candidates = shared
            index = ahead + 1

    def _choose(self, column: Column, found: list[Item], *, negated: bool) -> None:
        values = [item.values[item.columns.index(column)] for item in found]
        values = list(dict.fromkeys(values))
        name = quote(column.name)
        if len(values) == 1:
            # "not x" means the empty ones too
            sql = f"{name} {'IS DISTINCT FROM' if negated else '='} {text(values[0])}"
        else:
            listed = ", ".join(text(value) for value in values)
            sql = f"{name} IN ({listed})"
            sql = f"({name} IS NULL OR NOT {sql})" if negated else sql
        joint = "is not" if negated else "is"
        self._add(sql, f"{column.name} {joint} {' or '.join(values)}")
        if self._comparing and len(values) > 1 and not negated:
            self.compared.append(Group(column))

    # Quoted texts: title is "Dune"; title contains war.

    def _texts(self, start: int) -> int | None:
        line = self._line
        column = line.column(start, "text")
        if column is None:
            return None
        index, negated, contains = start + 1, False, False
        while (key := line.key(index)) in ("is", "=", "not", "!=", "contains"):
            negated = negated or key in ("not", "!=")
            contains = contains or key == "contains"
            index += 1
        item = line.at(index)
        if item is None or not (item.kind == "quoted" or (contains and item.kind != "key")):
            return None
        wanted = item.key if item.kind == "quoted" else item.text
        if column.values and not contains:
            return None  # all values are known, and this is none of them
        lowered, literal = f"lower({quote(column.name)})", text(wanted.lower())
        if contains:
            sql = f"contains({lowered}, {literal})"
            self._add(f"NOT {sql}" if negated else sql, f"{column.name} contains “{wanted}”")
        else:
            sign = "!=" if negated else "="
            self._add(
                f"{lowered} {sign} {literal}",
                f"{column.name} {_WORDS[sign]} “{wanted}”",
            )
        return line.take(start, index + 1)
