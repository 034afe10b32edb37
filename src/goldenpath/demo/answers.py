"""Writes answers as Markdown: a sentence that answers, then a table. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from goldenpath.demo.examples import examples
from goldenpath.demo.questions import NotUnderstood, Query
from goldenpath.demo.schema import Cell, Rows, Schema, Table
from goldenpath.demo.sql import LISTED_ROWS, Reading

_FORM_HELP = {
    "total": "Total",
    "average": "Average",
    "count": "Count",
    "top": "Top N",
    "by group": "By group",
    "over time": "Over time (day, week, month, quarter, year)",
    "filter": "Filter (values, comparisons, dates)",
    "compare": "Compare A and B",
}
_SPECIAL = re.compile(r"([\\`*_|<>\[\]~])")


def answer(query: Query, rows: Rows) -> str:
    """The answer to a question that was understood."""
    parts = [_sentence(query.reading, rows)]
    if len(rows.rows) > 1 or (rows.rows and len(rows.columns) > 1):
        parts.append(table(rows))
    if rows.more:
        parts.append(f"Only the first {len(rows.rows)} lines are shown.")
    parts += [f"*{_escape(note)}*" for note in query.notes]
    return "\n\n".join(parts)


def refusal(result: NotUnderstood, schema: Schema) -> str:
    """What was not understood, what the file has, and what can be asked."""
    words = ", ".join(f"**{_escape(word)}**" for word in result.words)
    parts = [f"I did not understand {words}." if words else "I cannot answer that yet."]
    parts += [f"{_escape(_sentence_case(hint))}" for hint in result.hints]
    parts.append("\n".join(_columns(one) for one in schema))
    parts.append("For example:\n\n" + "\n".join(f"- {_escape(q)}" for q in result.suggestions))
    return "\n\n".join(parts)


def help_text(schema: Schema) -> str:
    """The eight forms with an example of each from this file."""
    found = examples(schema)
    lines = [f"- **{_FORM_HELP[form]}**: {_escape(question)}" for form, question in found.items()]
    head = "I answer questions about a file by plain rules. These forms are understood:"
    return "\n\n".join([head, "\n".join(lines), "\n".join(_columns(one) for one in schema)])


def table(rows: Rows) -> str:
    """A result as a Markdown table, numbers to the right."""
    numeric = [
        all(_is_number(row[i]) or row[i] is None for row in rows.rows)
        for i in range(len(rows.columns))
    ]
    # The digits are those of the column: one amount must not look more exact than the next.
    digits = [_digits(row[i] for row in rows.rows) for i in range(len(rows.columns))]
    lines = ["| " + " | ".join(_escape(column) for column in rows.columns) + " |"]
    lines.append("| " + " | ".join("---:" if right else "---" for right in numeric) + " |")
    for row in rows.rows:
        cells = (shown(cell, digit) for cell, digit in zip(row, digits, strict=True))
        lines.append("| " + " | ".join(_escape(cell) for cell in cells) + " |")
    return "\n".join(lines)


def shown(cell: Cell, digits: int | None = None) -> str:
    """A value for people: thousands apart, at most two digits (four below one)."""
    if cell is None:
        return "(none)"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float):
        return f"{cell:,.{_digits([cell]) if digits is None else digits}f}"
    return cell


def pieces(text: str, size: int = 12) -> Iterator[str]:
    """Cut a text into pieces of about `size` characters at its spaces; joined they are the text."""
    piece = ""
    for word in re.findall(r"\S*\s*", text):
        piece += word
        if len(piece) >= size:
            yield piece
            piece = ""
    if piece:
        yield piece


def _sentence(reading: Reading, rows: Rows) -> str:
    where = ""
    if reading.filters:
        where = " where " + _escape(" and ".join(f.words for f in reading.filters))
    if not rows.rows or all(cell is None for row in rows.rows for cell in row):
        return f"No rows match{where}."
    if not reading.groups:
        return _ungrouped(reading, rows, where)
    labels = _escape(" and ".join(group.label for group in reading.groups))
    first, measure = rows.rows[0], len(reading.groups)
    name = _escape(reading.measures[0].label)
    if reading.form == "over time":
        return _over_time(rows, labels, name, measure, where)
    if reading.form == "compare" and len(rows.rows) == 2 and measure == 1:
        return _compared(rows, name, where if not reading.filters else "")
    lowest = reading.top is not None and not reading.top.largest
    lead = f"By {labels}{where}, **{_escape(_key(first, measure))}** has the"
    return f"{lead} {'smallest' if lowest else 'largest'} {name}: **{shown(first[measure])}**."


def _ungrouped(reading: Reading, rows: Rows, where: str) -> str:
    if reading.top is not None:
        side = "largest" if reading.top.largest else "smallest"
        name = reading.measures[0].column
        label = "" if name is None else _escape(name.name)
        return f"{_many(len(rows.rows), 'row')} with the {side} {label}{where}:"
    if not reading.measures:
        first = "The first " if len(rows.rows) == LISTED_ROWS else ""
        return f"{first}{_many(len(rows.rows), 'row')}{where}:"
    values = [
        f"{_escape(measure.label)} is **{shown(cell)}**"
        if measure.aggregate in ("sum", "avg")
        else f"number of {_escape(measure.label)} is **{shown(cell)}**"
        for measure, cell in zip(reading.measures, rows.rows[0], strict=True)
    ]
    return f"The {', the '.join(values)}{where}."


def _over_time(rows: Rows, labels: str, name: str, measure: int, where: str) -> str:
    ranked = [row for row in rows.rows if _is_number(row[measure])]
    if len(ranked) < 2:
        return f"The {name} by {labels}{where}:"
    high = max(ranked, key=lambda row: float(row[measure] or 0))
    low = min(ranked, key=lambda row: float(row[measure] or 0))
    return (
        f"The {name} by {labels}{where} is highest in **{_escape(_key(high, measure))}**"
        f" ({shown(high[measure])}) and lowest in **{_escape(_key(low, measure))}**"
        f" ({shown(low[measure])})."
    )


def _compared(rows: Rows, name: str, where: str) -> str:
    (first, high), (second, low) = rows.rows[0][:2], rows.rows[1][:2]
    text = (
        f"**{_escape(shown(first))}** has a {name} of **{shown(high)}**,"
        f" **{_escape(shown(second))}** of **{shown(low)}**{where}"
    )
    if isinstance(high, int | float) and isinstance(low, int | float) and high >= low > 0:
        text += f": {(high - low) / low:,.0%} more"
    return text + "."


def _key(row: list[Cell], size: int) -> str:
    return ", ".join(shown(cell) for cell in row[:size])


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _is_number(cell: Cell) -> bool:
    return isinstance(cell, int | float) and not isinstance(cell, bool)


def _digits(cells: Iterable[Cell]) -> int:
    floats = [abs(cell) for cell in cells if isinstance(cell, float)]
    return 4 if floats and max(floats) < 1 else 2


def _columns(one: Table) -> str:
    names = ", ".join(f"{column.name} ({column.kind})" for column in one.columns)
    return f"Columns of {_escape(one.name)}, {one.rows:,} rows: {_escape(names)}."


def _sentence_case(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith(("?", ".")) else text + "."


def _escape(text: str) -> str:
    """A file's or a user's text as plain Markdown text on one line."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
