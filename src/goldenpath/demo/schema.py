"""What the demo knows of a file: its tables, columns, values and results. Plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Literal

Kind = Literal["number", "text", "date"]
Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    `values` are all values of a text column that has few, in order, else empty.
    `first` and `last` are the ends of a date column, or None where every row is empty.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table with at least one row and one column."""

    name: str
    columns: tuple[Column, ...]
    rows: int

    def of_kind(self, kind: Kind) -> tuple[Column, ...]:
        """The columns of that kind, in the file's order."""
        return tuple(column for column in self.columns if column.kind == kind)

    @property
    def date(self) -> Column | None:
        """The column that questions about time are about: the first with dates."""
        return next((c for c in self.of_kind("date") if c.first is not None), None)


@dataclass(frozen=True, slots=True)
class Schema:
    """The tables of a file, in the file's order; at least one."""

    tables: tuple[Table, ...]

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables)


@dataclass(frozen=True, slots=True)
class Rows:
    """A query's result: plain values, dates as ISO text; `more` where rows were left out."""

    columns: list[str]
    rows: list[list[Cell]]
    more: bool
