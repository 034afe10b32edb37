"""Where a server's store lives: a file beside it, or a database of a server that is there before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from tests.databases import Database, database, drop, versions


class Place(Protocol):
    """A place for the store of one server."""

    @property
    def url(self) -> str: ...

    def files(self) -> list[Path]:
        """What is on disk of it."""
        ...

    compacts: bool
    """True if erased bytes leave the files without a command."""

    def wipe(self) -> None:
        """Lose everything; the server must be stopped."""
        ...

    def close(self) -> None: ...


class FilePlace:
    """A file."""

    compacts = True

    def __init__(self, directory: Path) -> None:
        self._file = directory / "store.db"

    @property
    def url(self) -> str:
        return f"sqlite:///{self._file}"

    def files(self) -> list[Path]:
        return [path for path in self._file.parent.glob("store.db*") if path.is_file()]

    def wipe(self) -> None:
        for path in self.files():
            path.unlink()

    def close(self) -> None:
        pass


class DatabasePlace:
    """A database of PostgreSQL."""

    compacts = False

    def __init__(self, version: int) -> None:
        self._version = version
        self._database: Database = database(version)

    @property
    def url(self) -> str:
        return self._database.url

    def files(self) -> list[Path]:
        one = self._database
        one.sql("CHECKPOINT")
        number = one.sql(f"SELECT oid FROM pg_database WHERE datname = '{one.name}'")
        return list((one.server.data / "base" / number).iterdir())

    def wipe(self) -> None:
        drop(self._database)
        self._database = database(self._version)

    def close(self) -> None:
        drop(self._database)


PLACES: dict[str, Callable[[Path], Place]] = {
    "sqlite": FilePlace,
    **{
        f"postgres{version}": lambda _, version=version: DatabasePlace(version)
        for version in versions()
    },
}
"""Every technology on which the cases run."""


def holds(path: Path, text: str) -> bool:
    """True if a file holds a text, in any of three encodings."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:  # a database removes files of its own while it works
        return False
    needles = [text.encode(), text.encode("utf-16-le"), json.dumps(text)[1:-1].encode()]
    return any(needle in data for needle in needles)
