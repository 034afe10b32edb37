"""Copying the file while it is written to: one snapshot of it, page by page."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import apsw

from goldenpath.errors import StoreUnavailableError
from goldenpath.store.sqlite import sql
from goldenpath.store.sqlite.connection import connect_reader, describe


async def copy_database(source: Path, target: Path) -> None:
    """Copy to `target`, which appears whole or not at all. Raises `StoreUnavailableError`."""
    try:
        await asyncio.to_thread(_copy, source, target)
    except apsw.Error as error:
        raise StoreUnavailableError(f"cannot back up to {target}: {describe(error)}") from error
    except OSError as error:
        raise StoreUnavailableError(f"cannot back up to {target}: {error.strerror}") from error


def _copy(source: Path, target: Path) -> None:
    part = target.with_name(target.name + ".part")
    part.unlink(missing_ok=True)
    reader = connect_reader(source)
    try:
        copy = apsw.Connection(str(part))
        try:
            with copy.backup("main", reader, "main") as backup:
                backup.step(-1)
            # One file that is whole by itself: no log beside it, and nothing left in it.
            sql.run(copy, "PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
        _sync(part)
        part.replace(target)
        _sync(target.parent)
    finally:
        reader.close()
        with contextlib.suppress(OSError):
            part.unlink()


def _sync(path: Path) -> None:
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
