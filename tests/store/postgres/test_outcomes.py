"""Outcomes that are not known: asked again with the same id, and applied once."""

from __future__ import annotations

import asyncio

import pytest

from goldenpath.errors import StoreUnavailableError
from goldenpath.store.postgres import PostgresStore
from tests.databases import Database
from tests.store.harness import BOB, Engine, created, raises, seen, submit

pytestmark = pytest.mark.anyio


def hang_up(one: Database) -> None:
    """End every connection, whatever it does."""
    one.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{one.name}' AND pid <> pg_backend_pid()"
    )


async def test_an_append_whose_answer_was_lost_is_applied_once(
    store: PostgresStore, one: Database
) -> None:
    engine = await Engine.begin(store)
    await engine.write(created())
    append = engine.append(created("u"))
    await store.append(append)
    hang_up(one)
    await asyncio.gather(store.append(append), return_exceptions=True)
    await store.append(append)  # on a new connection
    engine.head += 1
    await engine.write(created("v"))
    assert [event["seq"] for event in await seen(store)] == [1, 2, 3]


async def test_a_write_that_was_cut_off_can_be_made_again(
    store: PostgresStore, one: Database
) -> None:
    engine = await Engine.begin(store)
    one.sql("CREATE FUNCTION goldenpath.slow() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(30); RETURN NEW; END'")  # fmt: skip
    one.sql("CREATE TRIGGER slow BEFORE INSERT ON goldenpath.chunks"
            " FOR EACH ROW EXECUTE FUNCTION goldenpath.slow()")  # fmt: skip
    append = engine.append(created())
    writing = asyncio.ensure_future(store.append(append))
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    while await asyncio.to_thread(one.sql, sleeping) != "1":
        assert not writing.done()
    hang_up(one)
    await raises(StoreUnavailableError, writing)
    assert not store.status().writable
    one.sql("DROP TRIGGER slow ON goldenpath.chunks")
    await store.append(append)
    assert len(await seen(store)) == 1 and store.status().writable


async def test_a_commit_that_did_not_wait_for_its_standby_is_no_success(
    store: PostgresStore, one: Database
) -> None:
    """PostgreSQL says so by a warning, and reports the commit as one that succeeded."""
    engine = await Engine.begin(store)
    one.sql("CREATE FUNCTION goldenpath.warn() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RAISE WARNING ''canceling wait for synchronous replication''; RETURN NEW; END'"
            )  # fmt: skip
    one.sql("CREATE TRIGGER warn BEFORE INSERT ON goldenpath.chunks"
            " FOR EACH ROW EXECUTE FUNCTION goldenpath.warn()")  # fmt: skip
    append = engine.append(created())
    error = await raises(StoreUnavailableError, store.append(append))
    assert "outcome is not known" in str(error)
    one.sql("DROP TRIGGER warn ON goldenpath.chunks")
    await store.append(append)
    assert len(await seen(store)) == 1


async def test_one_users_refusal_is_nobody_elses_in_the_same_statement(
    store: PostgresStore,
) -> None:
    ada, bob = await Engine.begin(store), await Engine.begin(store, BOB)
    await ada.write(created())
    stale = ada.append(created("x"), head=0, entries=[])
    answers = await asyncio.gather(
        store.append(stale), store.append(bob.append(created())), submit(store, "a"),
        return_exceptions=True,
    )  # fmt: skip
    assert [isinstance(answer, Exception) for answer in answers] == [True, False, False]


async def test_a_value_that_cannot_be_stored_spoils_no_others(store: PostgresStore) -> None:
    answers = await asyncio.gather(
        *(submit(store, name) for name in ("a", "b\0", "c")), return_exceptions=True
    )
    assert [isinstance(answer, Exception) for answer in answers] == [False, True, False]
