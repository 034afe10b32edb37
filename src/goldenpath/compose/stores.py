"""Opens the store that a URL names."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from goldenpath.errors import ConfigError
from goldenpath.store import sqlite
from goldenpath.store.interface import Store
from goldenpath.store.sqlite import SqliteReader as Reader
from goldenpath.store.sqlite.connection import Durability

_PREFIX = "sqlite:///"


def store_path(url: str) -> Path:
    """The file of a `sqlite:///path` (relative) or `sqlite:////path` (absolute) URL."""
    scheme = url.partition(":")[0]
    if scheme in ("postgresql", "postgres"):
        raise ConfigError(
            f"store: {hide_password(url)!r} cannot be used; PostgreSQL is not available in this "
            "version, give sqlite:///path"
        )
    path = url.removeprefix(_PREFIX)
    if not url.startswith(_PREFIX) or not path:
        raise ConfigError(
            f"store: {hide_password(url)!r} cannot be used; give sqlite:///goldenpath.db "
            "(relative) or sqlite:////var/lib/goldenpath.db (absolute)"
        )
    if path.endswith("/") or Path(path).is_dir():
        raise ConfigError(f"store: {url!r} is a directory; name a file in it")
    return Path(path)


def hide_password(url: str) -> str:
    """A URL as it may be shown: without what stands between `:` and `@`."""
    scheme, slashes, rest = url.partition("://")
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0]
    return f"{scheme}{slashes}{user}:...@{place}" if at else url


async def open_store(url: str, durability: Durability) -> Store:
    """Open or create the store, for this process alone. Raises `ConfigError`, `StoreOpenError`."""
    return await sqlite.open_store(store_path(url), durability=durability)


@asynccontextmanager
async def open_reader(url: str) -> AsyncGenerator[Reader]:
    """Open an existing store to look at it, also beside its server."""
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


__all__ = ["Reader", "hide_password", "open_reader", "open_store", "require_file", "store_path"]
