"""Opening: what cannot work is said in one line that names the file and the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from goldenpath.errors import StoreOpenError
from goldenpath.model.journal import RunParked
from goldenpath.store.sqlite import open_reader, open_store
from goldenpath.store.sqlite.connection import check_sqlite, migrations
from goldenpath.store.verify import verify
from tests.store.sqlite.logs import Log

pytestmark = pytest.mark.anyio

VERSION = len(migrations())

HOLD = """
import asyncio, sys
from goldenpath.store.sqlite import open_store
async def main():
    store = await open_store(sys.argv[1])
    print("open", flush=True)
    sys.stdin.read()
    await store.close()
asyncio.run(main())
"""
TRY = """
import asyncio, os, sys
from goldenpath.errors import StoreOpenError
from goldenpath.store.sqlite import open_store
if os.geteuid() == 0:
    os.setuid(65534)
try:
    asyncio.run(open_store(sys.argv[1]))
except StoreOpenError as error:
    print(error)
"""


async def refusal(path: Path) -> str:
    with pytest.raises(StoreOpenError) as caught:
        await open_store(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


async def make(path: Path) -> None:
    store = await open_store(path)
    log = await Log.begin(store, "ann")
    await log.new_thread()
    await store.close()


async def test_a_second_process_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert holder.stdout.readline() == "open\n"
        assert f"process {holder.pid}" in await refusal(path)
        reader = await open_reader(path)  # looking on is no second process
        assert await reader.users() == []
        await reader.close()
        holder.stdin.close()
    await make(path)


async def test_a_second_store_in_the_same_process_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    store = await open_store(path)
    assert "in use by process" in await refusal(path)
    await store.close()
    await make(path)


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    path.write_bytes(b"this is not a database, but it is long enough to look at" * 100)
    assert "damaged" in await refusal(path)


async def test_a_file_with_damaged_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await make(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 8)
    assert "restore a backup" in await refusal(path)


async def test_a_file_that_was_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await make(path)
    os.truncate(path, 4096 * 5)
    assert "restore a backup" in await refusal(path)


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    await make(path)
    connection = apsw.Connection(str(path))
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()
    assert "newer version" in await refusal(path)
    with pytest.raises(StoreOpenError, match="newer version"):
        await open_reader(path)


async def test_a_store_of_the_first_version_gets_the_status_resuming_and_notices(
    tmp_path: Path,
) -> None:
    """Rows that an older version settled are what the log gives now; others stay as they are."""
    path = tmp_path / "store.db"
    store = await open_store(path)
    log = await Log.begin(store, "ann")
    await log.new_thread()
    await log.new_thread("t2")
    for run in ("ends", "runs", "asks", "shut"):
        await log.ask(run, 'quote " \u2028 日本 \\ 😀')
    await log.answer("ends", "said")
    await log.append([RunParked(reason="approval", remaining_ms=2**53 + 1)], "asks")
    await log.append([RunParked(reason="shutdown", remaining_ms=2**53 + 1)], "shut", due_ms=0)
    await store.compact()  # settles
    await store.close()
    connection = apsw.Connection(str(path))
    # As it was written before: the row of a run that a shutdown had parked said `running`.
    connection.execute(
        "UPDATE runs SET status = 'running', body = replace(body, '\"resuming\"', '\"running\"')"
        " WHERE status = 'resuming'"
    )
    assert connection.changes() == 1
    for statement in (
        "DROP INDEX runs_notices",
        "ALTER TABLE runs DROP COLUMN notice_ms",
        "ALTER TABLE runs DROP COLUMN notice_attempts",
        "DROP INDEX threads_used",
        "ALTER TABLE threads DROP COLUMN used_ms",
        "PRAGMA user_version = 1",
    ):
        connection.execute(statement)
    connection.close()
    with pytest.raises(StoreOpenError, match="start the server once"):
        await open_reader(path)
    store = await open_store(path)
    try:
        rows = {row.run_id: row.status for _, row in await store.runs(None, None, 10)}
        assert rows == {
            "shut": "resuming", "asks": "running", "runs": "running", "ends": "succeeded"
        }  # fmt: skip
        for status, runs in (("resuming", ["shut"]), ("running", ["asks", "runs"])):
            found = [row.run_id for _, row in await store.runs(log.user, status, 10)]
            assert found == runs
        claim = await store.claim_notices(10**9, ended_after_ms=0, ended_before_ms=10**9)
        assert [(notice.run_id, notice.attempt) for notice in claim.notices] == [("ends", 1)]
        assert await store.prune(10**9, everything=True) == 2  # `ends`, and the other thread
        assert [row.thread_id for row in await store.threads(log.user, 9, None)] == ["t1"]
        assert await verify(store) == []
    finally:
        await store.close()


async def test_another_applications_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE things (name TEXT)")
    connection.close()
    assert "another application" in await refusal(path)


async def test_a_directory_or_a_missing_one_is_refused(tmp_path: Path) -> None:
    assert "directory" in await refusal(tmp_path)
    path = tmp_path / "missing" / "store.db"
    with pytest.raises(StoreOpenError):
        await open_store(path)
    with pytest.raises(StoreOpenError, match="no such file"):
        await open_reader(path)


def test_a_read_only_file_is_refused(tmp_path: Path) -> None:
    """In a process without privileges: for the superuser no file is read-only."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "store.db"
    lock = folder / "store.db.lock"
    for file in (path, lock):
        file.touch()
    path.chmod(0o444)
    lock.chmod(0o666)
    for parent in [folder, *folder.parents]:
        if parent.stat().st_uid == os.geteuid() and parent.stat().st_mode & 0o055 != 0o055:
            parent.chmod(parent.stat().st_mode | 0o055)
    found = subprocess.run(
        [sys.executable, "-c", TRY, str(path)], capture_output=True, text=True, check=False
    )
    assert "read-only; make it writable" in found.stdout, found.stderr


def test_an_old_sqlite_is_refused() -> None:
    with pytest.raises(StoreOpenError, match=r"3\.51\.2 is too old: 3\.51\.3 or newer"):
        check_sqlite("3.51.2")
    check_sqlite("3.51.3")
    check_sqlite("4.0")


def test_the_pragmas_are_in_force(tmp_path: Path) -> None:
    from goldenpath.store.sqlite.connection import open_database, pragma

    for durability, synchronous in (("full", 2), ("process", 1)):
        connection = open_database(tmp_path / f"{durability}.db", durability)  # type: ignore[arg-type]
        assert connection.pragma("journal_mode") == "wal"
        found = {
            name: pragma(connection, name)
            for name in ("synchronous", "secure_delete", "auto_vacuum", "wal_autocheckpoint")
        }
        assert found == {
            "synchronous": synchronous,
            "secure_delete": 1,
            "auto_vacuum": 2,
            "wal_autocheckpoint": 0,
        }
        connection.close()


async def test_the_migrations_make_the_recorded_schema(tmp_path: Path) -> None:
    """`schema.sql` is what a reader of the code looks at; the migrations lead to it."""
    await make(tmp_path / "store.db")
    connection = apsw.Connection(str(tmp_path / "store.db"))
    rows = connection.execute(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name"
    ).fetchall()
    connection.close()
    recorded = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")
    assert "".join(f"{sql};\n" for (sql,) in rows) == recorded
