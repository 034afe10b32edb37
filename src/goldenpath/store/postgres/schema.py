"""The schema: numbered migrations, and whether this software can use what a database has.

Old and new hosts run side by side. A migration expands (tables, columns, functions of a new
version) so that hosts of before go on; what they need goes in a later one, which says in its first
line from which migration on software must be to use the database still.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import NamedTuple

import asyncpg

from goldenpath.errors import ConfigError, StoreOpenError
from goldenpath.store.postgres.server import TROUBLE, Connection, Server, describe

OLDEST_SERVER = 150000
"""In `server_version_num`: PostgreSQL 15."""
_LOCK = 0x676F6C64656E
"""Of the database: one migrates at a time."""
_OLDEST = re.compile(r"-- oldest usable: (\d+)\n")
_ROLE = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}")


class Migration(NamedTuple):
    """One step; `oldest` is the migration that software must at least know to go on after it."""

    number: int
    name: str
    sql: str
    oldest: int


def migrations() -> list[Migration]:
    """All of them, in order."""
    found: list[Migration] = []
    folder = files("goldenpath.store.postgres") / "migrations"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".sql"):
            number, _, name = file.name.removesuffix(".sql").partition("_")
            sql = file.read_text(encoding="utf-8")
            oldest = _OLDEST.match(sql)
            assert oldest is not None, f"{file.name} does not say what can use it"
            found.append(Migration(int(number), name, sql, int(oldest[1])))
    return found


async def migrate(url: str, grant: str | None = None) -> list[str]:
    """Bring a database up to date, and let a role use it; gives the names of what was applied.

    Raises `StoreOpenError`, `ConfigError`.
    """
    if grant is not None and not _ROLE.fullmatch(grant):
        raise ConfigError(f"--grant: {grant!r} is no role; give the name of one that exists")
    connection = await Server(url).connect()
    try:
        await _check_server(connection)
        return await _migrate(connection, grant)
    except TROUBLE as error:
        raise StoreOpenError(f"the database cannot be migrated: {describe(error)}") from error
    finally:
        await connection.close()


async def _migrate(connection: Connection, grant: str | None) -> list[str]:
    await connection.execute("SELECT pg_advisory_lock($1)", _LOCK)
    done: list[str] = []
    has = await _version(connection)
    for step in migrations():
        if step.number <= has:
            continue
        async with connection.transaction():
            await connection.execute("CREATE SCHEMA IF NOT EXISTS goldenpath")
            await connection.execute("SET LOCAL search_path TO goldenpath")
            await connection.execute(step.sql)
            await connection.execute(_TABLE)
            await connection.execute(
                "INSERT INTO goldenpath.migrations (number, name, oldest_usable)"
                " VALUES ($1, $2, $3)",
                step.number, step.name, step.oldest,
            )  # fmt: skip
        done.append(f"{step.number:04} {step.name}")
    if grant is not None:
        async with connection.transaction():
            for statement in _GRANTS:
                await connection.execute(statement.format(role=f'"{grant}"'))
            if not await connection.fetchval(
                "SELECT has_table_privilege($1::text, 'goldenpath.users', 'INSERT')", grant
            ):
                raise StoreOpenError(
                    f"privileges for {grant} were not given: run it as the owner of the schema"
                )
    return done


_TABLE = """
CREATE TABLE IF NOT EXISTS goldenpath.migrations (
    number integer PRIMARY KEY,
    name text NOT NULL,
    oldest_usable integer NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
)
"""
_GRANTS = (
    "GRANT USAGE ON SCHEMA goldenpath TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA goldenpath TO {role}",
    "REVOKE INSERT, UPDATE, DELETE ON goldenpath.migrations FROM {role}",
    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA goldenpath TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA goldenpath"
    " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA goldenpath GRANT EXECUTE ON FUNCTIONS TO {role}",
)
"""What a host needs: no tables of others, none to make or to drop."""


async def _version(connection: Connection) -> int:
    if await connection.fetchval("SELECT to_regclass('goldenpath.migrations')") is None:
        return 0
    return await connection.fetchval("SELECT coalesce(max(number), 0) FROM goldenpath.migrations")


async def check_schema(connection: Connection) -> None:
    """Raise `StoreOpenError` if this software cannot use the database as it is."""
    await _check_server(connection)
    try:
        if not await connection.fetchval("SELECT to_regnamespace('goldenpath') IS NOT NULL"):
            raise StoreOpenError("the database has no schema goldenpath: run goldenpath migrate")
        has = await _version(connection)
        oldest = has and await connection.fetchval(
            "SELECT max(oldest_usable) FROM goldenpath.migrations"
        )
    except asyncpg.InsufficientPrivilegeError as error:
        role = await connection.fetchval("SELECT current_user")
        raise StoreOpenError(
            f"the role {role} may not use the schema goldenpath: as its owner, run "
            f"goldenpath migrate --grant {role}"
        ) from error
    known = migrations()[-1].number
    if has < known:
        raise StoreOpenError(
            f"the schema is at migration {has}, this version of goldenpath needs {known}: run "
            "goldenpath migrate"
        )
    if oldest > known:
        raise StoreOpenError(
            f"the schema is at migration {has} and needs software that knows migration {oldest}; "
            f"this one knows {known}: use a newer goldenpath"
        )


async def check_durable(connection: Connection) -> None:
    """Raise `StoreOpenError` where a commit returns before it is on disk."""
    if await connection.fetchval("SHOW synchronous_commit") == "off":
        raise StoreOpenError(
            "synchronous_commit is off for this role or database, so that accepted commands could "
            "be lost: turn it on, or say --durability process"
        )


async def _check_server(connection: Connection) -> None:
    number = int(await connection.fetchval("SHOW server_version_num"))
    if number < OLDEST_SERVER:
        version = await connection.fetchval("SHOW server_version")
        raise StoreOpenError(f"PostgreSQL {version} is too old: use version 15 or newer")
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != "UTF8":
        raise StoreOpenError(
            f"the database has the encoding {encoding}: make one with ENCODING 'UTF8'"
        )
