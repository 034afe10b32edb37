"""Turns a reading into SQL. Pure.

Names are quoted and literals escaped; nothing else in the SQL comes from the question or the file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from goldenpath.demo.schema import Column, Table
from goldenpath.demo.vocabulary import Grain, Period

Form = Literal["total", "average", "count", "top", "by group", "over time", "filter", "compare"]
FORMS: tuple[Form, ...] = (
    "total", "average", "count", "top", "by group", "over time", "filter", "compare",
)  # fmt: skip
LISTED_ROWS = 20

Aggregate = Literal["sum", "avg", "count", "distinct"]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is computed: a total or average of a column of numbers, a count of the values of any
    column, or of rows, which has no column. Raises ValueError for anything else."""

    aggregate: Aggregate
    column: Column | None = None

    def __post_init__(self) -> None:
        kind = None if self.column is None else self.column.kind
        if self.aggregate in ("sum", "avg") and kind != "number":
            raise ValueError(f"no {self.aggregate} of a column of {kind}")

    @property
    def label(self) -> str:
        """The name of its column in the answer."""
        name = "" if self.column is None else self.column.name
        return {
            "sum": f"total {name}",
            "avg": f"average {name}",
            "count": "rows",
            "distinct": f"different {name}",
        }[self.aggregate]

    @property
    def sql(self) -> str:
        """Its expression."""
        if self.column is None:
            return "count(*)"
        name = quote(self.column.name)
        return (
            f"count(DISTINCT {name})"
            if self.aggregate == "distinct"
            else (f"{self.aggregate}({name})")
        )


@dataclass(frozen=True, slots=True)
class Group:
    """One answer line per value of a column, per grain of a date column, or per named period."""

    column: Column
    grain: Grain | None = None
    periods: tuple[Period, ...] = ()

    @property
    def label(self) -> str:
        """The name of its column in the answer."""
        if self.periods:
            return "period"
        return self.grain or self.column.name

    @property
    def sql(self) -> str:
        """Its expression."""
        name = quote(self.column.name)
        if self.periods:
            cases = " ".join(
                f"WHEN {within(self.column, p.start, p.end)} THEN {text(p.label)}"
                for p in self.periods
            )
            return f"CASE {cases} END"
        if self.grain is not None:
            return f"CAST(date_trunc('{self.grain}', {name}) AS DATE)"
        return name


@dataclass(frozen=True, slots=True)
class Filter:
    """A condition, as SQL and in words."""

    sql: str
    words: str


@dataclass(frozen=True, slots=True)
class Top:
    """The first `count` lines, largest first or smallest first."""

    count: int
    largest: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a question was read as."""

    table: Table
    form: Form
    measures: tuple[Measure, ...]
    groups: tuple[Group, ...]
    filters: tuple[Filter, ...]
    top: Top | None
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The reading in words."""
        parts = [" and ".join(m.label for m in self.measures) or "rows"]
        if self.top is not None and not self.groups and self.measures[0].column is not None:
            side = "largest" if self.top.largest else "smallest"
            parts = [f"{self.top.count} rows with the {side} {self.measures[0].column.name}"]
        elif self.top is not None:
            side = "top" if self.top.largest else "bottom"
            parts.insert(0, f"{side} {self.top.count} by")
        if self.groups:
            joint = "per" if self.top is not None else "by"
            parts.append(f"{joint} " + " and ".join(g.label for g in self.groups))
        if self.filters:
            parts.append("where " + " and ".join(f.words for f in self.filters))
        return " ".join(parts)


def render(reading: Reading) -> str:
    """The one SELECT that answers a reading."""
    source = f" FROM {quote(reading.table.name)}"
    if reading.filters:
        source += " WHERE " + " AND ".join(f.sql for f in reading.filters)
    top = reading.top
    direction = "DESC" if top is None or top.largest else "ASC"
    if not reading.groups and (top is not None or not reading.measures):
        if top is None:
            return f"SELECT *{source} LIMIT {LISTED_ROWS}"
        return (
            f"SELECT *{source} ORDER BY {_rank(reading)} {direction} NULLS LAST LIMIT {top.count}"
        )
    columns = [f"{g.sql} AS {quote(g.label)}" for g in reading.groups]
    columns += [f"{m.sql} AS {quote(m.label)}" for m in reading.measures]
    sql = f"SELECT {', '.join(columns)}{source}"
    if not reading.groups:
        return sql
    keys = ", ".join(str(number) for number in range(1, len(reading.groups) + 1))
    sql += f" GROUP BY {keys}"
    if reading.form == "over time":
        return f"{sql} ORDER BY {keys}"
    sql += f" ORDER BY {len(reading.groups) + 1} {direction} NULLS LAST, {keys}"
    return sql if top is None else f"{sql} LIMIT {top.count}"


def _rank(reading: Reading) -> str:
    column = reading.measures[0].column
    return "1" if column is None else quote(column.name)


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    """A text as an SQL literal."""
    return "'" + value.replace("'", "''") + "'"


def day(value: date) -> str:
    """A date as an SQL literal."""
    return f"DATE '{value.isoformat()}'"


def within(column: Column, start: date | None, end: date | None) -> str:
    """The condition that a date is at or after `start` and before `end`."""
    name = quote(column.name)
    sides = [f"{name} >= {day(start)}"] if start is not None else []
    sides += [f"{name} < {day(end)}"] if end is not None else []
    return " AND ".join(sides)
