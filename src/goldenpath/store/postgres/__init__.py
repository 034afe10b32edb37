"""The store that many hosts share: PostgreSQL, whose transactions are the only arbiter."""

from goldenpath.store.postgres.schema import migrate
from goldenpath.store.postgres.store import PostgresStore, fill, open_store, restore, set_aside

__all__ = ["PostgresStore", "fill", "migrate", "open_store", "restore", "set_aside"]
