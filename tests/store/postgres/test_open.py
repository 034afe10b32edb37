"""A database that cannot be used is refused in one line that tells what to do."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from goldenpath.errors import ConfigError, StoreOpenError, StoreUnavailableError
from goldenpath.model import events
from goldenpath.model.ids import ThreadId
from goldenpath.store.postgres import migrate, open_store, schema
from tests.databases import Database
from tests.store.harness import Engine, created, raises, seen, submit

pytestmark = pytest.mark.anyio


async def refused(url: str, *parts: str) -> None:
    error = str(await raises(StoreOpenError, open_store(url)))
    assert "\n" not in error
    for part in parts:
        assert part in error, error


async def test_nothing_listens_there(free_port: int) -> None:
    await refused(f"postgresql://me:hush@127.0.0.1:{free_port}/x", f"127.0.0.1:{free_port}")


async def test_no_password_is_shown(one: Database) -> None:
    parts = urlsplit(one.url)
    wrong = one.url.replace(str(parts.password), "guess")
    error = str(await raises(StoreOpenError, open_store(wrong)))
    assert "password authentication failed" in error and "guess" not in error


async def test_a_url_without_sense() -> None:
    await refused("postgresql://127.0.0.1:port/x", "cannot be used")


async def test_no_such_database(one: Database) -> None:
    await refused(one.server.url("nothere"), "nothere")


async def test_a_database_without_a_schema_or_with_an_older_one(empty: Database) -> None:
    await refused(empty.url, "run goldenpath migrate")
    assert await migrate(empty.url) == ["0001 initial"]
    assert await migrate(empty.url) == []
    empty.sql("DELETE FROM goldenpath.migrations")
    await refused(empty.url, "needs 1", "run goldenpath migrate")


async def test_a_schema_of_newer_software(one: Database) -> None:
    one.sql("INSERT INTO goldenpath.migrations (number, name, oldest_usable) VALUES (2, 'x', 1)")
    await (await open_store(one.url)).close()  # it was made so that this version goes on
    one.sql("INSERT INTO goldenpath.migrations (number, name, oldest_usable) VALUES (3, 'y', 3)")
    await refused(one.url, "use a newer goldenpath")


async def test_a_server_that_is_too_old(one: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "OLDEST_SERVER", 990_000)
    await refused(one.url, "is too old")


async def test_commits_that_do_not_wait_for_the_disk(one: Database) -> None:
    one.sql(f"ALTER DATABASE {one.name} SET synchronous_commit = off")
    await refused(one.url, "synchronous_commit is off", "--durability process")
    await (await open_store(one.url, durable=False)).close()


async def test_a_server_that_took_over_is_made_to_wait_for_its_disk(one: Database) -> None:
    store = await open_store(one.url)
    one.sql(f"ALTER DATABASE {one.name} SET synchronous_commit = off")
    one.sql("CREATE FUNCTION goldenpath.lazy() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN ASSERT"
            " current_setting(''synchronous_commit'') = ''on''; RETURN NEW; END'")  # fmt: skip
    for table in ("users", "inbox", "chunks"):
        one.sql(f"CREATE TRIGGER lazy BEFORE INSERT OR UPDATE ON goldenpath.{table}"
                " FOR EACH ROW EXECUTE FUNCTION goldenpath.lazy()")  # fmt: skip
    await submit(store, "a")
    engine = await Engine.begin(store)
    await engine.write(created("t"))
    await engine.write(("t", None, events.ThreadDeleted()), erase_threads=[ThreadId("t")])
    await store.close()


@pytest.fixture
def role(one: Database) -> str:
    """A role that may log in, and nothing else."""
    name = f"server_{one.name}"
    one.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'sesame'")
    return name


def as_role(one: Database, role: str) -> str:
    parts = urlsplit(one.url)
    return one.url.replace(f"{parts.username}:{parts.password}", f"{role}:sesame")


async def test_a_role_may_serve_with_the_least_of_privileges(one: Database, role: str) -> None:
    await refused(as_role(one, role), f"goldenpath migrate --grant {role}")
    assert await migrate(one.url, role) == []
    store = await open_store(as_role(one, role))
    engine = await Engine.begin(store)
    await engine.write(created())
    assert len(await seen(store)) == 1
    await store.close()
    one.sql(f"DROP OWNED BY {role}")


async def test_connections_run_out_and_come_back(one: Database, role: str) -> None:
    await migrate(one.url, role)
    store = await open_store(as_role(one, role))
    one.sql(f"ALTER ROLE {role} CONNECTION LIMIT 0")
    await raises(StoreUnavailableError, submit(store, "a"))
    assert not store.status().writable and "too many connections" in str(store.status().reason)
    one.sql(f"ALTER ROLE {role} CONNECTION LIMIT -1")
    assert (await submit(store, "a")).state == "new" and store.status().writable
    await store.close()
    one.sql(f"DROP OWNED BY {role}")


async def test_a_role_name_is_no_sql(one: Database) -> None:
    await raises(ConfigError, migrate(one.url, 'x"; DROP SCHEMA goldenpath'))
