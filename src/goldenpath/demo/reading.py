"""Reads a question about one table: measures, groups, conditions, order. Pure.

Every part of the question must be read as something; what is left over is named in the answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from goldenpath.demo.conditions import Conditions, Line
from goldenpath.demo.schema import Column, Table
from goldenpath.demo.sql import Aggregate, Form, Group, Measure, Reading, Top
from goldenpath.demo.vocabulary import Grain, Item

MAX_TOP = 100
_DEFAULT_TOP = 5
_RANKS = frozenset({"top", "most", "bottom", "least"})
_FREE = frozenset({"and", ",", "is", "to", "from"})
"""Keywords that join other parts and may be left over."""


@dataclass(frozen=True, slots=True)
class Unread:
    """Why a question could not be read: the words that are left over, and hints."""

    words: tuple[str, ...]
    hints: tuple[str, ...]


def read(parts: list[Item], table: Table) -> Reading | Unread:
    """Read the named parts of a question."""
    return _Reader([part for part in parts if part.kind != "filler"], table).read()


class _Reader:
    def __init__(self, parts: list[Item], table: Table) -> None:
        self._line = Line(parts, table)
        self._table = table
        self._measures: list[Measure] = []
        self._groups: list[Group] = []
        self._top: Top | None = None
        self._rows_named = False
        self._missing: list[str] = []
        """What is not said; worth a hint only where every word was understood."""
        self._comparing = any(part.key in ("compare", "vs") for part in parts)

    def read(self) -> Reading | Unread:
        conditions = Conditions(self._line, comparing=self._comparing)
        self._read_top()
        self._read_groups()
        self._read_measures()
        self._read_loose_groups()
        self._read_rows()
        self._groups += [g for g in conditions.compared if g not in self._groups]
        self._read_compare()
        if conditions.filters:
            self._take_keys({"where"})
        self._take_keys(_FREE)
        unread = self._unread() or self._incomplete(bool(conditions.filters))
        if unread is not None:
            return unread
        if self._groups and not self._measures:
            self._measures.append(Measure("count"))
            if not self._rows_named:
                self._line.notes.append("No number is named, so rows are counted.")
        return Reading(
            self._table,
            self._form(bool(conditions.filters)),
            tuple(dict.fromkeys(self._measures)),
            tuple(dict.fromkeys(self._groups)),
            tuple(dict.fromkeys(conditions.filters)),
            self._top,
            tuple(dict.fromkeys(self._line.notes)),
        )

    def _take_keys(self, keys: set[str] | frozenset[str]) -> None:
        for index in range(len(self._line.parts)):
            if self._line.key(index) in keys:
                self._line.take(index, index + 1)

    def _read_top(self) -> None:
        line = self._line
        start = next((i for i in range(len(line.parts)) if line.key(i) in _RANKS), None)
        if start is None:
            return
        key = line.key(start)
        largest = key in ("top", "most")
        near = [i for i in (start + 1, start - 1) if line.kind(i) == "number"]
        line.take(start, start + 1)
        if not near:
            count = _DEFAULT_TOP if key in ("top", "bottom") else 1
            if count > 1:
                line.notes.append(f"{count} are shown; say top 10 for more.")
            self._top = Top(count, largest)
            return
        number = line.parts[near[0]]
        if not number.key.isdigit() or not 1 <= int(number.key) <= MAX_TOP:
            line.problems.append(f"top {number.text}: the number must be from 1 to {MAX_TOP}")
            return
        line.take(near[0], near[0] + 1)
        self._top = Top(int(number.key), largest)

    # Groups

    def _read_groups(self) -> None:
        line = self._line
        for index in range(len(line.parts)):
            item = line.at(index)
            if item is None:
                continue
            if item.kind == "grain" and (item.adverb or self._top is not None):
                self._add_grain(index, item.grain)
            elif item.key == "overtime":
                self._add_grain(index, self._fitting_grain())
            elif item.key == "by" and item.kind == "key":
                self._read_by(index)

    def _add_grain(self, index: int, grain: Grain | None, column: Column | None = None) -> bool:
        column = column or self._table.date
        if column is None:
            self._line.problems.append(f"{self._table.name} has no column of dates")
            return False
        if len(self._table.of_kind("date")) > 1:
            self._line.notes.append(f"Dates are those of {column.name}.")
        self._groups.append(Group(column, grain))
        self._line.take(index, index + 1)
        return True

    def _fitting_grain(self) -> Grain:
        column = self._table.date
        if column is None or column.first is None or column.last is None:
            return "day"
        days = (column.last - column.first).days
        return "day" if days <= 31 else "week" if days <= 92 else "month"

    def _read_by(self, start: int) -> None:
        line = self._line
        index = self._read_group(start + 1)
        if index is None:
            if self._ranks_by(start + 1):
                line.take(start, start + 1)
            return
        line.take(start, start + 1)
        while line.key(index) in ("and", ","):
            ahead = index + 1
            ahead += line.key(ahead) in ("and", "by")
            after = self._read_group(ahead)
            if after is None:
                return
            line.take(index, ahead)
            index = after

    def _read_group(self, index: int) -> int | None:
        """Read what can follow `by`; gives the next index."""
        line = self._line
        item = line.at(index)
        if item is None:
            return None
        if item.kind == "grain":
            return index + 1 if self._add_grain(index, item.grain) else None
        column = item.column
        if item.kind != "column" or column is None:
            return None
        if column.kind == "date":
            grain = line.at(index + 1)
            if grain is not None and grain.kind == "grain" and not grain.adverb:
                self._add_grain(index, grain.grain, column)
                return line.take(index + 1, index + 2)
            return index + 1 if self._add_grain(index, "day", column) else None
        if column.kind == "number" and (self._ranks_by(index) or not self._has_other(index)):
            return None
        self._groups.append(Group(column))
        return line.take(index, index + 1)

    def _has_other(self, index: int) -> bool:
        """True where something besides this part is measured, so that this part can group."""
        parts = range(len(self._line.parts))
        return any(
            self._line.key(i) == "count" or (i != index and self._number(i) is not None)
            for i in parts
        )

    def _ranks_by(self, index: int) -> bool:
        """True where `by` names the measure of a ranking: top teams by cost, teams by cost."""
        line = self._line
        item = line.at(index)
        if item is None:
            return False
        measured = item.kind == "rows" or item.key in ("sum", "avg", "count")
        if not measured and self._number(index) is None and len(item.columns) < 2:
            return False
        others = (line.at(i) for i in range(len(line.parts)) if i != index)
        loose = any(
            o is not None and o.column is not None and o.column.kind == "text" for o in others
        )
        ranked = self._top is not None or self._comparing or loose or bool(self._groups)
        if ranked and item.kind == "rows":
            self._measures.append(Measure("count"))
            line.take(index, index + 1)
        return ranked

    # Measures

    def _number(self, index: int) -> Column | None:
        item = self._line.at(index)
        column = item.column if item is not None and item.kind == "column" else None
        return column if column is not None and column.kind == "number" else None

    def _read_measures(self) -> None:
        line = self._line
        waiting: list[tuple[int, Aggregate]] = []
        current: list[Aggregate] = ["sum"]
        for index in range(len(line.parts)):
            key = line.key(index)
            if key == "count":
                self._read_count(index)
            elif key in ("sum", "avg"):
                waiting.append((index, "sum" if key == "sum" else "avg"))
            elif (column := self._number(index)) is not None:
                current = [aggregate for _, aggregate in waiting] or current
                for used, _ in waiting:
                    line.take(used, used + 1)
                waiting = []
                self._measures += [Measure(aggregate, column) for aggregate in current]
                line.take(index, index + 1)
        if waiting:
            self._read_lone_aggregates(waiting)

    def _read_lone_aggregates(self, waiting: list[tuple[int, Aggregate]]) -> None:
        """`how much` or `total` without a column: clear only where one number is meant."""
        numbers = self._table.of_kind("number")
        measured = [m.column for m in self._measures if m.column is not None]
        if column := next((c for c in measured if c.kind == "number"), None):
            bare = [Measure("sum", column)] == self._measures
        elif len(numbers) == 1:
            column, bare = numbers[0], False
            self._line.notes.append(f"The only number in {self._table.name} is {column.name}.")
        else:
            names = ", ".join(c.name for c in numbers[:6]) or "there is no column of numbers"
            self._missing.append(f"say of which column: {names}")
            return
        if bare:  # "cost per team on average"
            self._measures.clear()
        for index, aggregate in waiting:
            self._measures.append(Measure(aggregate, column))
            self._line.take(index, index + 1)

    def _read_count(self, index: int) -> None:
        line = self._line
        item = line.at(index + 1)
        column = item.column if item is not None and item.kind == "column" else None
        end = index + 2
        if column is not None and column.kind == "number":
            line.notes.append(f"Counted is the total of {column.name}, not the rows.")
            self._measures.append(Measure("sum", column))
        elif column is not None:
            self._measures.append(Measure("distinct", column))
        else:
            self._measures.append(Measure("count"))
            end = index + 2 if item is not None and item.kind == "rows" else index + 1
        line.take(index, end)

    def _read_loose_groups(self) -> None:
        """Text columns that nothing claimed: which team ..., team costs."""
        for index in range(len(self._line.parts)):
            item = self._line.at(index)
            if item is None or item.kind != "column" or item.column is None:
                continue
            if item.column.kind == "text" and self._line.key(index - 1) != "by":
                self._groups.append(Group(item.column))
                self._line.take(index, index + 1)
            elif item.column.kind == "date" and self._top is not None:
                self._add_grain(index, "day", item.column)

    def _read_rows(self) -> None:
        """The table's name: what is counted in a ranking, else only a name."""
        for index in range(len(self._line.parts)):
            if self._line.kind(index) == "rows":
                if self._groups and not self._measures:
                    self._measures.append(Measure("count"))
                self._rows_named = True
                self._line.take(index, index + 1)

    def _read_compare(self) -> None:
        if self._groups:
            self._take_keys({"compare", "vs"})
        elif self._comparing:
            self._missing.append("name two values of one column to compare")

    # The end

    def _unread(self) -> Unread | None:
        line = self._line
        left = [line.parts[i] for i in range(len(line.parts)) if not line.used[i]]
        hints = list(line.problems)
        for item in left:
            if item.kind == "column" and len(item.columns) > 1:
                names = " or ".join(column.name for column in item.columns)
                hints.append(f"“{item.text}” could be {names}")
        # A keyword is left over because of what is not understood beside it; alone, it is the word.
        words = [item.text for item in left if item.kind != "key"]
        if not words:
            hints += self._missing
            words = [] if self._missing else [item.text for item in left]
        if not left and not hints:
            return None
        return Unread(tuple(dict.fromkeys(words)), tuple(dict.fromkeys(hints)))

    def _incomplete(self, filtered: bool) -> Unread | None:
        """Read to the end, and yet not a question."""
        names = ", ".join(column.name for column in self._table.of_kind("number")[:6])
        if self._top is not None and not self._measures:
            return Unread((), (f"say by which number: {names or 'rows'}",))
        if self._comparing and not self._measures and not self._rows_named:
            return Unread((), (f"say by which number to compare: {names or 'rows'}",))
        if self._top is not None and not self._groups and self._measures[0].column is None:
            return Unread((), ("say of which column, as in: top 3 of a column by a number",))
        if self._top is not None and not self._groups and self._measures[0].aggregate != "sum":
            return Unread(
                (),
                ("say per which column, as in: highest average of a number per group",),
            )
        asked = self._measures or self._groups or filtered or self._rows_named
        return None if asked else Unread((), ("there is no question that names a column",))

    def _form(self, filtered: bool) -> Form:
        if self._comparing:
            return "compare"
        if self._top is not None:
            return "top"
        if any(group.grain is not None for group in self._groups):
            return "over time"
        if self._groups:
            return "by group"
        if filtered or not self._measures:
            return "filter"
        aggregate = self._measures[0].aggregate
        return "total" if aggregate == "sum" else "average" if aggregate == "avg" else "count"
