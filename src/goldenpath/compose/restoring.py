"""Puts a backup in the place of a store."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import anyio

from goldenpath.compose.stores import is_postgres, require_driver, store_path
from goldenpath.errors import ConfigError, StoreError, StoreOpenError
from goldenpath.store.image import check_image
from goldenpath.store.sqlite.connection import FileLock, check_reader_file

_BESIDE = ("", "-wal", "-shm")
"""The files of a store, by what their names end with."""


def restore_store(url: str, copy: Path, *, replace: bool) -> str | None:
    """Put `copy` where the store is; gives where the old one is kept, if there was one.

    The store must be stopped. A start after it makes new activations, so that readers who had read
    further than the copy goes are told to begin anew. Raises `ConfigError`, `StoreOpenError`.
    """
    if is_postgres(url):
        return anyio.run(_restore_database, url, copy, replace)
    kept = _restore_file(store_path(url).absolute(), copy, replace)
    return None if kept is None else str(kept)


async def _restore_database(url: str, copy: Path, replace: bool) -> str | None:
    require_driver()
    from goldenpath.store import postgres

    check_image(copy)  # before anything is moved
    kept = await postgres.set_aside(url) if replace else None
    try:
        await postgres.restore(url, copy)
    except StoreError as error:
        if kept is None:
            raise
        raise StoreOpenError(f"{error}; what was there is kept as schema {kept}") from error
    return kept and f"schema {kept}"


def _restore_file(path: Path, copy: Path, replace: bool) -> Path | None:
    check_reader_file(copy).close()
    lock = FileLock(path)
    try:
        if path.exists() and not replace:
            raise ConfigError(
                f"store: {str(path)!r} exists; --replace puts the copy there and keeps it aside"
            )
        part = path.with_name(path.name + ".restoring")
        try:
            _copy(copy, part)
            kept = _set_aside(path) if path.exists() else None
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        _sync_directory(path.parent)
        return kept
    except OSError as error:
        raise ConfigError(
            f"store: {str(path)!r} cannot be written ({error.strerror}); nothing was restored"
        ) from error
    finally:
        lock.release()


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    target.chmod(0o600)
    with target.open("rb") as file:
        os.fsync(file.fileno())


def _set_aside(path: Path) -> Path:
    """Move a store's files to names that are free."""
    number = 1
    while (kept := path.with_name(f"{path.name}.before-restore-{number}")).exists():
        number += 1
    for beside in reversed(_BESIDE):
        file = path.with_name(path.name + beside)
        if file.exists():
            file.replace(kept.with_name(kept.name + beside))
    return kept


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
