"""Opens the store that a URL names."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from goldenpath.errors import ConfigError
from goldenpath.store import sqlite
from goldenpath.store.interface import Store
from goldenpath.store.sqlite import SqliteReader
from goldenpath.store.sqlite.connection import Durability

if TYPE_CHECKING:
    from goldenpath.store.postgres import PostgresStore

Reader: TypeAlias = "SqliteReader | PostgresStore"
"""Of an existing store, also beside its servers."""
_SQLITE = "sqlite:///"
_POSTGRES = re.compile(r"postgres(ql)?://")


def check_url(url: str) -> None:
    """Raise `ConfigError` for a URL that names no store."""
    if not is_postgres(url):
        store_path(url)


def is_postgres(url: str) -> bool:
    """True for the URL of a PostgreSQL database."""
    return _POSTGRES.match(url) is not None


def store_path(url: str) -> Path:
    """The file of a `sqlite:///path` (relative) or `sqlite:////path` (absolute) URL."""
    path = url.removeprefix(_SQLITE)
    if is_postgres(url):
        raise ConfigError(f"store: {hide_password(url)!r} is no file; this needs sqlite:///path")
    if not url.startswith(_SQLITE) or not path:
        raise ConfigError(
            f"store: {hide_password(url)!r} cannot be used; give sqlite:///goldenpath.db "
            "(relative), sqlite:////var/lib/goldenpath.db (absolute) or "
            "postgresql://user@host/database"
        )
    if path.endswith("/") or Path(path).is_dir():
        raise ConfigError(f"store: {url!r} is a directory; name a file in it")
    return Path(path)


def hide_password(url: str) -> str:
    """A URL as it may be shown: without what stands between `:` and `@`, or as a parameter."""
    scheme, slashes, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    shown = f"{scheme}{slashes}{user}:...@{place}" if at else url
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", r"\1...", shown)


async def open_store(url: str, durability: Durability) -> Store:
    """Open the store (a file is created, for this process alone).

    Raises `ConfigError`, `StoreOpenError`.
    """
    if is_postgres(url):
        require_driver()
        from goldenpath.store import postgres

        return await postgres.open_store(url, durable=durability == "full")
    return await sqlite.open_store(store_path(url), durability=durability)


@asynccontextmanager
async def open_reader(url: str) -> AsyncGenerator[Reader]:
    """Open an existing store to look at it, also beside its servers."""
    if is_postgres(url):
        require_driver()
        from goldenpath.store import postgres

        reader: Reader = await postgres.open_store(url)
    else:
        path = store_path(url)
        require_file(path)
        reader = await sqlite.open_reader(path)
    try:
        yield reader
    finally:
        await reader.close()


def require_file(path: Path) -> None:
    """Refuse a store that is not there, with the way to name another."""
    if not path.is_file():
        raise ConfigError(
            f"store: there is no {str(path)!r}; name the store by --store sqlite:///path"
        )


def require_driver() -> None:
    """Refuse PostgreSQL where its driver is not installed."""
    if find_spec("asyncpg") is None:
        raise ConfigError("store: PostgreSQL needs its driver; pip install 'goldenpath[postgres]'")
