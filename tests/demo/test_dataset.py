"""Files are read as they are, or refused in one line that names the file and the remedy."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from goldenpath.demo.dataset import MAX_RESULT_ROWS, Dataset, DatasetError, open_dataset


def test_csv_columns_have_kinds_values_and_ends(spending: Dataset) -> None:
    (table,) = spending.schema.tables
    assert (table.name, table.rows) == ("ai_spending", 618)
    by_name = {column.name: column for column in table.columns}
    assert by_name["cost_usd"].kind == "number"
    assert by_name["team"].values == ("finance", "marketing", "platform", "research", "support")
    assert table.date is by_name["day"]
    assert str(table.date.last) == "2025-04-30"


def test_sqlite_tables_are_read_with_dates_and_nulls(library: Dataset) -> None:
    assert [(t.name, t.rows) for t in library.schema] == [("loans", 60), ("members", 10)]
    kinds = {column.name: column.kind for column in library.schema.tables[0].columns}
    assert kinds["loaned_on"] == kinds["returned_on"] == "date"
    assert (kinds["title"], kinds["fine"]) == ("text", "number")
    assert library.run("SELECT count(*) FROM loans WHERE returned_on IS NULL").rows == [[4]]


def test_odd_sqlite_values_and_names_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "odd.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute('CREATE TABLE "we""ird; t" ("a""b", B, c)')
        rows = [(1, b"\x00\xff", 'q"uo,te\nline'), ("\\N", None, ""), (None, None, None)]
        connection.executemany('INSERT INTO "we""ird; t" VALUES (?, ?, ?)', rows)
    dataset = open_dataset(path)
    assert dataset.run('SELECT * FROM "we""ird; t"').rows == [
        ["1", "(2 bytes)", 'q"uo,te\nline'],
        ["\\N", None, ""],
        [None, None, None],
    ]


def test_results_are_bounded_and_say_so(spending: Dataset) -> None:
    rows = spending.run("SELECT * FROM ai_spending")
    assert (len(rows.rows), rows.more) == (MAX_RESULT_ROWS, True)


def test_sql_reaches_no_file_and_no_setting(spending: Dataset, tmp_path: Path) -> None:
    for sql in (
        f"SELECT * FROM read_csv('{Path(__file__)}')",
        f"COPY ai_spending TO '{tmp_path / 'out.csv'}'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ):
        with pytest.raises(DatasetError):
            spending.run(sql)
    assert not list(tmp_path.iterdir())


def _write(content: bytes):
    return lambda path: path.write_bytes(content)


BAD_FILES = {
    "missing.csv": (lambda path: None, "no such file"),
    "folder.csv": (lambda path: path.mkdir(), "is not a file"),
    "empty.csv": (_write(b""), "is empty"),
    "blank.csv": (_write(b" \n\n"), "is empty"),
    "header.csv": (_write(b"a,b\n"), "no rows"),
    "latin.csv": (_write("naam\ncaf\xe9\n".encode("latin-1")), "not UTF-8"),
    "utf16.csv": (_write("a,b\n1,2\n".encode("utf-16")), "not UTF-8"),
    "binary.csv": (_write(bytes(range(128)) * 50), "binary"),
    "late.csv": (_write(b"a,b\n" + b"1,2\n" * 30_000 + b"\x00\xff,3\n"), "not CSV"),
    "ragged.csv": (_write(b"a,b\n1,2\n3\n4,5,6\n"), "other columns than the header"),
    "quote.csv": (_write(b'a,b\n"x,2\n3,4\n'), "not CSV"),
    "letter.csv": (_write(b"I am writing to you about the data\nYours\n"), "no header"),
    "object.json": (_write(b'{"a": [1, 2]}'), "no header"),
    "page.html": (_write(b"<html><body>hi</body></html>"), "no header"),
    "cut.db": (_write(b"SQLite format 3\x00garbage"), "damaged"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_one_line_with_its_name_and_a_remedy(name: str, tmp_path: Path) -> None:
    make, reason = BAD_FILES[name]
    path = tmp_path / name
    make(path)
    with pytest.raises(DatasetError) as caught:
        open_dataset(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert reason in message
    assert "\n" not in message
    assert ";" in message  # the remedy stands behind it


def test_a_sqlite_file_without_rows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE t (a)")
    with pytest.raises(DatasetError, match="no table with rows"):
        open_dataset(path)


def test_the_file_is_never_written(library_file: Path) -> None:
    before = library_file.read_bytes()
    open_dataset(library_file).close()
    assert library_file.read_bytes() == before
    assert [p.name for p in library_file.parent.iterdir()] == [library_file.name]
