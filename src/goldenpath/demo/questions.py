"""A question in plain words, and what SQL it asks for. Pure; any text gives one of two results.

Eight forms are understood (`FORMS`). A word that is none of the file's names, none of its values
and none of the keywords makes the question `NotUnderstood`; nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

from goldenpath.demo.examples import examples
from goldenpath.demo.reading import Unread, read
from goldenpath.demo.schema import Schema, Table
from goldenpath.demo.sql import Form, Reading, render
from goldenpath.demo.vocabulary import items, known_words, looks_like
from goldenpath.demo.words import MAX_TOKENS, name_stems, tokens

MAX_LENGTH = 4_000


@dataclass(frozen=True, slots=True)
class Query:
    """A question that was understood: one SELECT, its form, and how it was read."""

    sql: str
    form: Form
    title: str
    notes: tuple[str, ...]
    reading: Reading


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """The words that were not understood (none where the question is incomplete), why, and
    questions that would be understood."""

    words: tuple[str, ...]
    hints: tuple[str, ...]
    suggestions: tuple[str, ...]


def understand(question: str, schema: Schema) -> Query | NotUnderstood:
    """Turn a question into SQL over the tables of a file. Never raises."""
    text = _plain(question)
    parts = tokens(text)
    if len(question) > MAX_LENGTH or len(parts) > MAX_TOKENS:
        return _not_understood(Unread((), ("the question is too long; ask one sentence",)), schema)
    if not parts:
        return _not_understood(Unread((), ("there is no word in the question",)), schema)
    names = tuple(table.name for table in schema)
    queries: list[tuple[bool, Query]] = []
    failed: list[tuple[int, Unread, Table]] = []
    for table in schema:
        named_parts = items(parts, table, names)
        result = read(named_parts, table)
        if isinstance(result, Reading):
            named = any(part.kind == "rows" and part.key == "table" for part in named_parts)
            query = Query(render(result), result.form, result.title, result.notes, result)
            queries.append((named, query))
        else:
            failed.append((len(result.words) or 99, result, table))
    if queries:
        return _choose(queries, schema)
    _, unread, table = min(failed, key=lambda one: one[0])
    return _not_understood(_with_hints(unread, table, schema), schema)


def _choose(queries: list[tuple[bool, Query]], schema: Schema) -> Query | NotUnderstood:
    """The query over the table that was named, or the only one that fits."""
    fitting = [query for named, query in queries if named] or [query for _, query in queries]
    if len(fitting) > 1:
        names = " or ".join(query.reading.table.name for query in fitting)
        return _not_understood(Unread((), (f"say in which table: {names}",)), schema)
    return fitting[0]


def _plain(text: str) -> str:
    """Without control characters and lone surrogates, which no database takes in a literal."""
    cleaned = "".join(c if c.isprintable() or c.isspace() else " " for c in text)
    return " ".join(cleaned.split())


def _with_hints(unread: Unread, table: Table, schema: Schema) -> Unread:
    hints = list(unread.hints)
    known = known_words(table)
    for word in unread.words[:5]:
        elsewhere = [one.name for one in schema if one is not table and _is_column(word, one)]
        within = [
            value
            for column in table.columns
            if looks_like(word, column)
            for value in column.values
            if word.lower() in value.lower()
        ]
        near = within[:4] or get_close_matches(word.lower(), known, n=1, cutoff=0.82)
        if elsewhere:
            hints.append(f"“{word}” is in {elsewhere[0]}, and a question is about one table")
        elif near and near[0].lower() != word.lower():
            hints.append(f"“{word}”: do you mean {' or '.join(near)}?")
    return Unread(unread.words, tuple(dict.fromkeys(hints)))


def _is_column(word: str, table: Table) -> bool:
    return any(name_stems(word) == name_stems(column.name) for column in table.columns)


def _not_understood(unread: Unread, schema: Schema) -> NotUnderstood:
    chosen = list(examples(schema).values())
    return NotUnderstood(unread.words, unread.hints, tuple(dict.fromkeys(chosen))[:3])
