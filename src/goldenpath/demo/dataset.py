# ruff: noqa: S608 names are quoted, and nothing else is put into SQL
"""Opens a CSV or SQLite file in an in-memory DuckDB: read-only, bounded, closed to the outside.

DuckDB's own SQLite reader is an extension that is downloaded, so SQLite files are read with
Python's sqlite3. After loading, the database may touch no file and load no extension.
"""

from __future__ import annotations

import math
import re
import sqlite3
import tempfile
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from goldenpath.demo.schema import Cell, Column, Kind, Rows, Schema, Table
from goldenpath.demo.sql import quote
from goldenpath.demo.sql import text as literal
from goldenpath.errors import GoldenpathError

MAX_BYTES = 256 * 1024 * 1024
MAX_ROWS = 1_000_000
MAX_TABLES = 20
MAX_COLUMNS = 200
MAX_RESULT_ROWS = 100
MAX_VALUES = 60
"""A text column with more distinct values is not offered word by word."""
MAX_VALUE_LENGTH = 60
_MAX_CELL = 300
_MAX_NAME = 60
_MAX_NAME_WORDS = 6
_HEAD_BYTES = 64 * 1024

_NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "REAL", "NUMERIC", "HUGEINT")
_DATES = ("DATE", "TIMESTAMP")


class DatasetError(GoldenpathError):
    """A file that cannot be read as data; one line that names the file and the remedy."""


class Dataset:
    """A file's tables, loaded. `run` may be called from any thread."""

    def __init__(self, path: Path, connection: duckdb.DuckDBPyConnection) -> None:
        self.path = path
        self._connection = connection
        self.schema = _schema(connection)

    def run(self, sql: str) -> Rows:
        """The first rows of one statement's result. Raises `DatasetError`."""
        cursor = self._connection.cursor()  # a cursor of its own makes this safe between threads
        try:
            cursor.execute(sql)
            fetched = cursor.fetchmany(MAX_RESULT_ROWS + 1)
            columns = [str(column[0]) for column in cursor.description or ()]
        except duckdb.Error as error:
            raise DatasetError(f"{self.path}: {_first_line(error)}") from error
        finally:
            cursor.close()
        rows = [[_cell(value) for value in row] for row in fetched[:MAX_RESULT_ROWS]]
        return Rows(columns, rows, more=len(fetched) > MAX_RESULT_ROWS)

    def close(self) -> None:
        """Free the memory; `run` fails afterwards."""
        self._connection.close()


def open_dataset(path: Path) -> Dataset:
    """Load a CSV (with a header line) or SQLite file. Raises `DatasetError`."""
    head = _head(path)
    connection = duckdb.connect(":memory:")
    try:
        # One thread: sums of floats come out the same each time, and a demo stays on one core.
        connection.execute("SET threads = 1")
        connection.execute("SET autoinstall_known_extensions = false")
        connection.execute("SET autoload_known_extensions = false")
        if head.startswith(b"SQLite format 3\x00"):
            _load_sqlite(connection, path)
        else:
            _load_csv(connection, path, head)
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        return Dataset(path, connection)
    except BaseException:
        connection.close()
        raise


def _head(path: Path) -> bytes:
    try:
        if not path.exists():
            raise DatasetError(f"{path}: there is no such file; check the path given to --data")
        if not path.is_file():
            raise DatasetError(f"{path}: is not a file; give --data a .csv or SQLite file")
        size = path.stat().st_size
        if size > MAX_BYTES:
            limit = MAX_BYTES // (1024 * 1024)
            raise DatasetError(f"{path}: is larger than {limit} MiB; give --data a part of it")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DatasetError(
            f"{path}: cannot be read ({reason}); check its path and rights"
        ) from None
    if not head.strip():
        raise DatasetError(f"{path}: is empty; give --data a file with a header line and rows")
    return head


def _load_csv(connection: duckdb.DuckDBPyConnection, path: Path, head: bytes) -> None:
    remedy = "save it as UTF-8 CSV with a header line, or give --data a SQLite file"
    whole = len(head) < _HEAD_BYTES
    try:
        text = head.decode("utf-8-sig", errors="strict" if whole else "ignore")
    except UnicodeDecodeError:
        raise DatasetError(f"{path}: is not UTF-8 text; {remedy}") from None
    if "\x00" in text:
        raise DatasetError(f"{path}: is binary, neither CSV nor SQLite; {remedy}")
    delimiter = _delimiter(text)
    if not delimiter:
        raise DatasetError(f"{path}: has no header line of column names; {remedy}")
    name = _table_name(path.stem)
    try:
        connection.execute(
            f"CREATE TABLE {quote(name)} AS SELECT * FROM read_csv(?, header = true, delim = ?,"
            f" quote = '\"', escape = '\"', sample_size = -1, skip = 0) LIMIT {MAX_ROWS + 1}",
            [str(path), delimiter],
        )
        columns = connection.execute(f"DESCRIBE {quote(name)}").fetchall()
        count = _count(connection, name)
    except duckdb.Error as error:
        reason = _first_line(error)
        if "sniffing" in reason:
            reason = "a line has other columns than the header, or a quote is not closed"
        raise DatasetError(f"{path}: is not CSV ({reason}); {remedy}") from None
    if len(columns) > MAX_COLUMNS:
        raise DatasetError(f"{path}: has more than {MAX_COLUMNS} columns; drop some")
    if count == 0:
        raise DatasetError(f"{path}: has a header but no rows; give --data a file with rows")
    if count > MAX_ROWS:
        raise DatasetError(f"{path}: has more than {MAX_ROWS:,} rows; give --data a part of it")


def _delimiter(text: str) -> str:
    """What separates the names of the header line; nothing where the line is no header."""
    line = next((line for line in text.splitlines() if line.strip()), "")
    bare = re.sub(r'"[^"]*"', "", line)
    delimiter = max(",;\t|", key=bare.count)
    names = [name.strip().strip('"') for name in line.split(delimiter)]
    prose = any(len(name) > _MAX_NAME or len(name.split()) > _MAX_NAME_WORDS for name in names)
    return "" if prose or line.lstrip().startswith(("{", "[", "<")) else delimiter


def _load_sqlite(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    try:
        source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise DatasetError(f"{path}: cannot be opened ({error}); check its rights") from None
    try:
        names = [
            str(row[0])
            for row in source.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
                " AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rootpage LIMIT ?",
                (MAX_TABLES + 1,),
            )
        ]
        if len(names) > MAX_TABLES:
            raise DatasetError(f"{path}: has more than {MAX_TABLES} tables; give --data fewer")
        left = MAX_ROWS
        loaded = 0
        for name in names:
            count = _copy_table(connection, source, path, name, left)
            left -= count
            loaded += count > 0
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise DatasetError(
            f"{path}: is a damaged or locked SQLite file ({_first_line(error)});"
            " check it with PRAGMA integrity_check"
        ) from None
    except duckdb.Error as error:
        raise DatasetError(f"{path}: cannot be loaded ({_first_line(error)})") from None
    finally:
        source.close()
    if loaded == 0:
        raise DatasetError(f"{path}: has no table with rows; give --data a file with rows")


def _copy_table(
    connection: duckdb.DuckDBPyConnection,
    source: sqlite3.Connection,
    path: Path,
    name: str,
    left: int,
) -> int:
    cursor = source.execute(f"SELECT * FROM {quote(name)} LIMIT {left + 1}")
    columns = [str(column[0]) for column in cursor.description]
    if len(columns) > MAX_COLUMNS:
        raise DatasetError(f"{path}: table {name} has more than {MAX_COLUMNS} columns; drop some")
    rows: list[tuple[Any, ...]] = cursor.fetchall()
    if len(rows) > left:
        raise DatasetError(f"{path}: has more than {MAX_ROWS:,} rows; give --data a part of it")
    if not rows:
        return 0
    kinds = [_sqlite_kind(row[index] for row in rows) for index in range(len(columns))]
    _insert(connection, _table_name(name), dict(zip(columns, kinds, strict=True)), rows)
    return len(rows)


def _insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    kinds: dict[str, str],
    rows: list[tuple[Any, ...]],
) -> None:
    """Insert by way of a CSV file: 100 times as fast as row by row."""
    spec = ", ".join(f"{quote(name)} {kind}" for name, kind in kinds.items())
    connection.execute(f"CREATE TABLE {quote(table)} ({spec})")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "rows.csv"
        with copy.open("w", encoding="utf-8", errors="replace", newline="") as file:
            for row in rows:
                file.write(",".join(_field(value) for value in row) + "\n")
        connection.execute(
            f"COPY {quote(table)} FROM {literal(str(copy))} (FORMAT csv, HEADER false, DELIM ',',"
            " QUOTE '\"', ESCAPE '\"', NULLSTR '\\N', ALLOW_QUOTED_NULLS false, AUTO_DETECT false)"
        )


def _field(value: object) -> str:
    """A quoted CSV field; a bare \\N, which no text can be, where there is no value."""
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f'"({len(value)} bytes)"'
    plain = str(value).replace("\x00", " ").replace('"', '""')
    return f'"{plain}"'


def _sqlite_kind(values: Any) -> str:
    """The narrowest DuckDB type of what a column really holds; SQLite's own types are advice."""
    kinds: set[str] = set()
    for value in values:
        if value is None:
            continue
        if isinstance(value, int):
            kinds.add("BIGINT")
        elif isinstance(value, float):
            kinds.add("DOUBLE")
        elif isinstance(value, str):
            kinds.add(_date_kind(value))
        else:
            kinds.add("VARCHAR")
    if len(kinds) == 1:
        return kinds.pop()
    if kinds == {"BIGINT", "DOUBLE"}:
        return "DOUBLE"
    return "TIMESTAMP" if kinds == {"DATE", "TIMESTAMP"} else "VARCHAR"


def _date_kind(text: str) -> str:
    if len(text) < 10 or text[4:5] != "-":
        return "VARCHAR"
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return "VARCHAR"
    if parsed.tzinfo is not None:
        return "VARCHAR"
    return "DATE" if len(text) == 10 else "TIMESTAMP"


def _schema(connection: duckdb.DuckDBPyConnection) -> Schema:
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() ORDER BY table_oid"
    ).fetchall()
    return Schema(tuple(_table(connection, str(row[0])) for row in found))


def _table(connection: duckdb.DuckDBPyConnection, name: str) -> Table:
    described = connection.execute(f"DESCRIBE {quote(name)}").fetchall()
    columns = tuple(_column(connection, name, str(row[0]), str(row[1])) for row in described)
    return Table(name, columns, _count(connection, name))


def _column(connection: duckdb.DuckDBPyConnection, table: str, name: str, type_: str) -> Column:
    kind = _kind(type_)
    if kind == "date":
        ends = connection.execute(
            f"SELECT min(CAST({quote(name)} AS DATE)), max(CAST({quote(name)} AS DATE))"
            f" FROM {quote(table)}"
        ).fetchone() or (None, None)
        return Column(name, kind, first=ends[0], last=ends[1])
    if kind == "number":
        return Column(name, kind)
    value = f"CAST({quote(name)} AS VARCHAR)"
    rows = connection.execute(
        f"SELECT DISTINCT {value} FROM {quote(table)}"
        f" WHERE {value} <> '' ORDER BY 1 LIMIT {MAX_VALUES + 1}"
    ).fetchall()
    values = tuple(str(row[0]) for row in rows)
    if len(values) > MAX_VALUES or any(len(value) > MAX_VALUE_LENGTH for value in values):
        return Column(name, kind)
    return Column(name, kind, values)


def _kind(type_: str) -> Kind:
    plain = type_.upper()
    if plain.endswith("[]"):
        return "text"
    if plain.startswith(_DATES):
        return "date"
    return "number" if any(word in plain.split("(")[0] for word in _NUMBERS) else "text"


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {quote(table)}").fetchone()
    return int(row[0]) if row else 0


def _table_name(text: str) -> str:
    return text.strip() or "data"


def _cell(value: Any) -> Cell:
    """A value as the journal and JSON hold it exactly."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if -(2**53) <= value <= 2**53 else float(value)
    if isinstance(value, Decimal | float):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    text = str(value)
    return text if len(text) <= _MAX_CELL else text[: _MAX_CELL - 1] + "…"


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0][:160] if lines else type(error).__name__
