"""Opening the file: version of SQLite, OS lock, pragmas, migrations, and errors in our words."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Generator
from importlib.resources import files
from pathlib import Path
from typing import Literal

import apsw

from goldenpath.errors import StoreError, StoreOpenError, StoreUnavailableError
from goldenpath.store.sqlite import sql

Durability = Literal["full", "process"]
"""`full`: a commit is synced to the disk. `process`: it survives the process, not the machine."""

APPLICATION_ID = 0x676F6C64
"""Marks the file as ours (`PRAGMA application_id`): "gold"."""
MINIMUM_SQLITE = (3, 51, 3)
"""Older ones can lose a commit when the write-ahead log is reset while another connection
checkpoints (sqlite.org/wal.html, "the WAL-reset bug")."""
PAGE_CACHE_KIB = 32 * 1024
READER_CACHE_KIB = 8 * 1024
KEPT_WAL_BYTES = 64 * 1024 * 1024
BUSY_MS = 2_000


def check_sqlite(version: str) -> None:
    """Raise `StoreOpenError` if this SQLite is too old to be trusted with a log."""
    found = tuple(int(part) for part in version.split("."))
    if found < MINIMUM_SQLITE:
        wanted = ".".join(map(str, MINIMUM_SQLITE))
        raise StoreOpenError(
            f"SQLite {version} is too old: {wanted} or newer is needed; upgrade the package apsw"
        )


class FileLock:
    """The OS lock beside the file that keeps a second process out; the system frees it."""

    def __init__(self, path: Path) -> None:
        lock_path = path.with_name(path.name + ".lock")
        try:
            self._file = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreOpenError(
                f"cannot lock {path}: {error.strerror} ({lock_path}); "
                "make its directory writable for this user"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreOpenError(
                f"{path} is in use by process {holder}: one process at a time may open it; "
                "stop that one, or give this one another file"
            ) from error
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Free the lock; idempotent. The lock's file stays, so that nobody locks a removed one."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


@contextlib.contextmanager
def translated() -> Generator[None]:
    """Turn SQLite's errors into `StoreUnavailableError`, in one line for an operator."""
    try:
        yield
    except apsw.Error as error:
        raise StoreUnavailableError(describe(error)) from error


def describe(error: apsw.Error) -> str:
    """Say in one line what is wrong and, where it is known, what helps."""
    remedies: dict[type[apsw.Error], str] = {
        apsw.FullError: "the disk is full: free some space",
        apsw.ReadOnlyError: "the file or its directory is read-only: make it writable",
        apsw.CantOpenError: "the file cannot be opened: check that it exists and its permissions",
        apsw.BusyError: "another process holds the file: stop it",
        apsw.LockedError: "another process holds the file: stop it",
        apsw.CorruptError: "the file is damaged: restore a backup",
        apsw.NotADBError: "the file is damaged: restore a backup",
        apsw.IOError: "the disk reported an error: check the system's log",
    }
    remedy = remedies.get(type(error))
    text = " ".join(str(error).split())
    return f"{remedy} ({text})" if remedy else text


def connect(path: Path, durability: Durability = "full") -> apsw.Connection:
    """Open the one connection that writes. Raises `apsw.Error`."""
    connection = apsw.Connection(
        str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    )
    connection.set_busy_timeout(BUSY_MS)
    try:
        _set(connection, "auto_vacuum", "INCREMENTAL")
        _set(connection, "journal_mode", "WAL")
        _set(connection, "synchronous", "FULL" if durability == "full" else "NORMAL")
        _set(connection, "wal_autocheckpoint", 0)
        _set(connection, "journal_size_limit", KEPT_WAL_BYTES)
        _set(connection, "secure_delete", "ON")
        _set(connection, "cache_size", -PAGE_CACHE_KIB)
        _set(connection, "temp_store", "MEMORY")
        _set(connection, "trusted_schema", "OFF")
    except apsw.Error:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> apsw.Connection:
    """Open a connection that only reads. Raises `apsw.Error`."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_MS)
    _set(connection, "query_only", "ON")
    _set(connection, "cache_size", -READER_CACHE_KIB)
    _set(connection, "wal_autocheckpoint", 0)
    _set(connection, "temp_store", "MEMORY")
    return connection


def open_database(path: Path, durability: Durability) -> apsw.Connection:
    """Open or create the file and bring its schema up to date. Raises `StoreOpenError`."""
    check_sqlite(apsw.sqlite_lib_version())
    if not path.parent.is_dir():
        raise StoreOpenError(f"cannot open {path}: the directory {path.parent} does not exist")
    if path.is_dir():
        raise StoreOpenError(f"cannot open {path}: it is a directory, name a file in it")
    if path.exists() and not os.access(path, os.W_OK):
        raise StoreOpenError(f"cannot open {path}: the file is read-only; make it writable")
    try:
        if not path.exists():  # it holds what users wrote: for this account alone
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = connect(path, durability)
    except OSError as error:
        raise StoreOpenError(f"cannot open {path}: {error.strerror}") from error
    except apsw.Error as error:
        raise StoreOpenError(f"cannot open {path}: {describe(error)}") from error
    try:
        _migrate(connection, path)
    except apsw.Error as error:
        connection.close()
        raise StoreOpenError(f"cannot open {path}: {describe(error)}") from error
    except StoreError:
        connection.close()
        raise
    return connection


def migrations() -> list[str]:
    """Read the numbered migrations; the index of the last one + 1 is the schema's version."""
    folder = files("goldenpath.store.sqlite") / "migrations"
    found = sorted((item.name, item) for item in folder.iterdir() if item.name.endswith(".sql"))
    return [item.read_text(encoding="utf-8") for _, item in found]


def _set(connection: apsw.Connection, name: str, value: int | str) -> None:
    sql.run(connection, f"PRAGMA {name} = {value}")


def pragma(connection: apsw.Connection, name: str) -> int:
    """Read a numeric pragma."""
    return int(sql.one(connection, f"PRAGMA {name}") or 0)


def _migrate(connection: apsw.Connection, path: Path) -> None:
    steps = migrations()
    version = pragma(connection, "user_version")
    _check_ours(connection, path, version, len(steps))
    if version == len(steps):
        return
    with connection:
        for step in steps[version:]:
            sql.run(connection, step)
        _set(connection, "application_id", APPLICATION_ID)
        _set(connection, "user_version", len(steps))


def _check_ours(connection: apsw.Connection, path: Path, version: int, newest: int) -> None:
    tables = sql.one(connection, "SELECT count(*) FROM sqlite_schema")
    if tables and pragma(connection, "application_id") != APPLICATION_ID:
        raise StoreOpenError(
            f"cannot open {path}: it is a database of another application; name another file"
        )
    if version > newest:
        raise StoreOpenError(
            f"cannot open {path}: its schema is version {version}, this software knows up to "
            f"{newest}; install the newer version that wrote it, or restore a backup"
        )
    # Reads the roots of all tables; the whole file would take minutes where it is large.
    for (name,) in sql.fetch(connection, "SELECT name FROM sqlite_schema WHERE type = 'table'"):
        sql.run(connection, f'SELECT 1 FROM "{name}" LIMIT 1')
    header_pages = pragma(connection, "page_count")
    size = path.stat().st_size
    wal = path.with_name(path.name + "-wal")
    if size < header_pages * pragma(connection, "page_size") and not (
        wal.exists() and wal.stat().st_size
    ):
        raise StoreOpenError(
            f"cannot open {path}: the file is damaged, it ends early; restore a backup"
        )


def check_reader_file(path: Path) -> apsw.Connection:
    """Open an existing store for reading only. Raises `StoreOpenError`."""
    check_sqlite(apsw.sqlite_lib_version())
    if not path.is_file():
        raise StoreOpenError(f"cannot open {path}: there is no such file")
    connection: apsw.Connection | None = None
    try:
        connection = connect_reader(path)
        version, newest = pragma(connection, "user_version"), len(migrations())
        _check_ours(connection, path, version, newest)
        if version < newest:
            raise StoreOpenError(
                f"cannot open {path}: its schema is version {version}, this software reads "
                f"{newest}; start the server once, which brings it up to date"
            )
    except (apsw.Error, StoreOpenError) as error:
        if connection is not None:
            connection.close()
        if isinstance(error, StoreOpenError):
            raise
        raise StoreOpenError(f"cannot open {path}: {describe(error)}") from error
    return connection
