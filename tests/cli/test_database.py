"""What operators do with a PostgreSQL store: the work of its owner, and of the role that serves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from goldenpath.store.postgres import link
from tests.cli.conftest import Invoke, ended, running
from tests.compose.test_serving import served as serving
from tests.databases import Database, drop, empty_database, versions

HUSH = "hush-of-the-host"


@pytest.fixture(params=versions(), ids=lambda version: f"postgres-{version}")
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Database]:
    monkeypatch.chdir(tmp_path)
    one = empty_database(request.param)
    yield one
    drop(one)
    one.server.sql("DROP ROLE IF EXISTS serving")


@pytest.fixture
def served(database: Database, goldenpath: Invoke) -> str:
    """The URL of a role that may serve and no more; ada has asked something."""
    database.sql(f"CREATE ROLE serving LOGIN PASSWORD '{HUSH}'")
    code, out, err = goldenpath("migrate", "--grant", "serving", "--store", database.url)
    assert (code, err) == (0, "")
    assert out.splitlines() == ["applied 0001 initial", "serving may serve it"]
    url = database.server.url(database.name).replace(
        f"goldenpath:{database.server.password}", f"serving:{HUSH}"
    )

    async def ask() -> None:
        async with running(url) as (app, assembly):
            await ended(assembly, "ada", await app.send(user_id="ada", text="first tea"))

    anyio.run(ask)
    return url


def test_what_takes_long_is_not_given_up(
    served: str, database: Database, goldenpath: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy and a compaction may take hours; a host's statement may not."""
    monkeypatch.setattr(link, "SILENCE_SECONDS", 0.0)
    code, _, err = goldenpath("backup", "copy", "--store", served)
    assert (code, err) == (0, "")
    code, _, err = goldenpath("compact", "--store", database.url)
    assert (code, err) == (0, "")


def test_who_may_not_compact_is_told_so(served: str, goldenpath: Invoke) -> None:
    code, _, err = goldenpath("compact", "--store", served)
    assert code == 2
    assert err.splitlines() == [
        "goldenpath: the role serving does not own the tables: compact as their owner"
    ]


def test_a_user_is_erased_by_the_role_that_serves(served: str, goldenpath: Invoke) -> None:
    code, out, err = goldenpath("forget", "ada", "--store", served)
    assert (code, err) == (0, "")
    assert "erased everything of ada" in out
    _, log, _ = goldenpath("log", "ada", "--store", served, "--internal", "--reveal")
    assert "tea" not in log.replace("TEA", "tea")
    code, out, _ = goldenpath("check", "--store", served)
    assert (code, out) == (0, "1 users checked, 0 breaches\n")


def test_a_copy_is_restored_beside_what_was_there(
    served: str, database: Database, goldenpath: Invoke
) -> None:
    """The owner's work; the role is let in again, and serves what it served."""
    before = goldenpath("log", "ada", "--store", served, "--json")
    goldenpath("backup", "copy", "--store", served)
    code, out, err = goldenpath("restore", "copy", "--replace", "--store", database.url)
    assert (code, err) == (0, "")
    assert "what was there is kept as schema goldenpath_before_restore_1" in out
    assert goldenpath("check", "--store", served)[0] == 2
    goldenpath("migrate", "--grant", "serving", "--store", database.url)
    assert goldenpath("check", "--store", served)[0] == 0
    assert goldenpath("log", "ada", "--store", served, "--json") == before


def test_no_password_is_printed(served: str, database: Database, goldenpath: Invoke) -> None:
    shown = [
        goldenpath("backup", "copy", "--store", served),
        goldenpath("restore", "copy", "--replace", "--store", database.url),
        goldenpath("hosts", "--store", served),
        goldenpath("runs", "--store", f"{served}-missing"),
        goldenpath("runs", "--store", served.replace(HUSH, f"{HUSH}-wrong")),
        goldenpath("runs", "--store", served.replace(HUSH, f"{HUSH}/and-more")),
    ]
    for one in shown:
        assert HUSH not in str(one)
        assert database.server.password not in str(one)


def test_the_log_of_a_server_names_its_store_without_a_password(
    served: str, tmp_path: Path
) -> None:
    with serving(tmp_path, "--store", served) as server:
        line = next(line for line in server.lines if line["message"] == "serving")
    assert line["store"].startswith("postgresql://serving:...@")
    assert HUSH not in str(server.lines)
