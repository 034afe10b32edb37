"""Running statements to their end: apsw stops at the first row of a text of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw


def fetch(
    connection: apsw.Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> list[tuple[Any, ...]]:
    """All rows, of all statements in `sql`."""
    cursor: Any = connection.cursor()
    return cursor.execute(sql, values).fetchall()


def run(
    connection: apsw.Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> None:
    """Run statements that give no rows, or whose rows nobody wants."""
    fetch(connection, sql, values)


def one(
    connection: apsw.Connection, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> Any:
    """The first column of the first row; None without a row."""
    rows = fetch(connection, sql, values)
    return rows[0][0] if rows else None
