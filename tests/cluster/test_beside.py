"""Hosts that differ: in their clock, in their version."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from goldenpath.store.postgres import migrate
from tests.cluster.kit import Hosts, Roamer, a_database, hosts
from tests.databases import Database, versions
from tests.mission_critical.kit import ROOT, eventually, token

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@pytest.fixture
def two(tmp_path: Path, fresh: Database) -> Iterator[Hosts]:
    """Two hosts on a database; the second is not started."""
    with hosts(tmp_path, fresh, 2, "--drain", "10s") as cluster:
        cluster[1].stop()
        yield cluster


@pytest.fixture
def fresh() -> Iterator[Database]:
    with a_database(versions()[0]) as database:
        yield database


def before_on_path(cluster: Hosts, folder: Path) -> None:
    cluster[1].environment["PYTHONPATH"] = os.pathsep.join(
        [str(folder), str(ROOT / "src"), str(ROOT)]
    )


async def test_a_clock_that_is_an_hour_off_changes_nothing(two: Hosts) -> None:
    before_on_path(two, Path(__file__).parent / "skewed")
    await asyncio.to_thread(two[1].start)
    user = Roamer(two, "ada")
    user.tab.bearer = token("ada", ttl=10 * 3600)  # the host that is ahead believes it too
    await user.at(two[1])
    sent = await user.send("6", agent="sleeper")
    await eventually(lambda: "run_parked" in two[0].command(
        "log", "ada", "--internal", "--store", two[0].store_url).stdout)  # fmt: skip
    two[1].kill()  # the other one wakes it: by the same time
    assert (await user.end(sent["run_id"]))["status"] == "succeeded"
    times = [datetime.fromisoformat(event["time"]).timestamp() for event in user.log.events]
    assert times == sorted(times) and abs(times[-1] - time.time()) < 600
    await user.close()


async def test_two_versions_serve_at_once_and_roll_over(
    two: Hosts, fresh: Database, tmp_path: Path
) -> None:
    """The next one migrates first: hosts of this one go on with what they know."""
    following = tmp_path / "next"
    shutil.copytree(ROOT / "src" / "goldenpath", following / "goldenpath")
    migrations = following / "goldenpath" / "store" / "postgres" / "migrations"
    (migrations / "0002_expand.sql").write_text(
        "-- oldest usable: 1\n"
        "ALTER TABLE runs ADD COLUMN colour text;\n"
        "CREATE TABLE colours (colour text PRIMARY KEY);\n"
    )
    user = Roamer(two, "ada")
    await user.at(two[0])
    sent = await user.send("both", agent="between_tools")
    await user.event("tool_completed", sent["run_id"])
    before_on_path(two, following)
    refused = await asyncio.to_thread(two[1].command, "serve", "tests.mission_critical.agents:app",
                                      "--store", fresh.url)  # fmt: skip
    assert refused.returncode == 2 and "needs 2: run goldenpath migrate" in refused.stderr
    done = await asyncio.to_thread(two[1].command, "migrate", "--store", fresh.url)
    assert done.stdout.strip() == "applied 0002 expand", done.stderr
    await asyncio.to_thread(two[1].start)
    other = Roamer(two, "bob")
    await other.at(two[1])
    _, end = await other.tab.ask("new", agent="plain")
    assert end["status"] == "succeeded"
    other.tab.server = two[0]
    await other.at(two[0])
    _, end = await other.tab.ask("old", agent="plain")
    assert end["status"] == "succeeded"
    # The old one leaves; the new one takes over what runs.
    await asyncio.to_thread(two[0].stop)
    two[0].open_gate("both")
    assert (await user.end(sent["run_id"]))["status"] == "succeeded"
    assert len(two[1].effects("careful")) == 2
    await user.verify()
    await user.close()
    await other.close()
    await asyncio.to_thread(two[1].stop)


async def test_a_schema_that_is_too_new_is_one_line(fresh: Database, tmp_path: Path) -> None:
    assert await migrate(fresh.url) == []
    fresh.sql(
        "INSERT INTO goldenpath.migrations (number, name, oldest_usable) VALUES (9, 'far', 9)"
    )
    with pytest.raises(AssertionError, match="use a newer goldenpath"):
        with hosts(tmp_path, fresh, 1):
            pass
