"""Example questions, one per form, made of the file's own names. Pure."""

from __future__ import annotations

from goldenpath.demo.schema import Column, Schema, Table
from goldenpath.demo.sql import Form
from goldenpath.demo.words import name_stems

_PREFERRED = ("cost", "amount", "price", "total", "revenue", "fine", "sale", "value")


def examples(schema: Schema) -> dict[Form, str]:
    """A question for each form that the file has columns for, from its largest table."""
    table = max(schema.tables, key=_usefulness)
    measure = _measure(table)
    group = next((c for c in table.of_kind("text") if 2 <= len(c.values) <= 12), None)
    of = f" of {table.name}" if len(schema.tables) > 1 else ""
    found: dict[Form, str] = {}
    if measure is not None:
        found["total"] = f"What is the total {measure.name}{of}?"
        found["average"] = f"What is the average {measure.name}{of}?"
    found["count"] = f"How many rows{of} are there?"
    if group is not None:
        if measure is not None:
            found["top"] = f"Top 3 {group.name} by {measure.name}{of}"
        ranked = measure.name if measure is not None else "rows"
        found["by group"] = f"{ranked} by {group.name}{of}"
    if table.date is not None:
        ranked = measure.name if measure is not None else "rows"
        found["over time"] = f"{ranked} by month{of}"
    if group is not None:
        found["filter"] = f'Show rows{of} where {group.name} is "{group.values[0]}"'
        first, second = group.values[:2]
        ranked = f" by {measure.name}" if measure is not None else ""
        found["compare"] = f'Compare {group.name} "{first}" and "{second}"{ranked}{of}'
    return found


def _usefulness(table: Table) -> tuple[int, int]:
    kinds = {column.kind for column in table.columns if column.kind != "text" or column.values}
    return len(kinds), table.rows


def _measure(table: Table) -> Column | None:
    """The number that questions are likely about: money, else the first that is no identifier."""
    numbers = [c for c in table.of_kind("number") if "id" not in name_stems(c.name)]
    money = (c for c in numbers if set(_PREFERRED).intersection(name_stems(c.name)))
    return next(money, numbers[0] if numbers else None)
