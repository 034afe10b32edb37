"""The embedded store, on SQLite: `open_store` to serve, `open_reader` to look beside a server."""

from goldenpath.store.sqlite.images import read_records
from goldenpath.store.sqlite.onlooker import SqliteReader, open_reader
from goldenpath.store.sqlite.store import SqliteStore, open_store

__all__ = ["SqliteReader", "SqliteStore", "open_reader", "open_store", "read_records"]
