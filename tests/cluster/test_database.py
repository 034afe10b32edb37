"""The database stops, dies, fails over and loses; what was confirmed is kept, or said to be lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from goldenpath.store.postgres import migrate
from tests.cluster.kit import GONE, Hosts, Pair, Roamer
from tests.databases import Database, versions
from tests.mission_critical.kit import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


@contextmanager
def on_a_pair(directory: Path, version: int, *, synchronous: bool) -> Iterator[tuple[Hosts, Pair]]:
    pair = Pair(version, synchronous=synchronous)
    cluster = Hosts(directory, pair.url)
    try:
        asyncio.run(migrate(pair.direct_url))
        for _ in range(2):
            cluster.add(pair.ends)
        cluster.start_all()
        yield cluster, pair
        for server in cluster.running:
            server.stop()
        done = cluster[0].command("check", "--store", pair.direct_url)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    finally:
        cluster.close()
        pair.close()


@pytest.fixture(params=versions())
def synchronous(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Hosts, Pair]]:
    """Two hosts on a primary whose commits wait for its standby."""
    with on_a_pair(tmp_path, request.param, synchronous=True) as found:
        yield found


@pytest.fixture(params=versions())
def asynchronous(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Hosts, Pair]]:
    """Two hosts on a primary whose commits do not."""
    with on_a_pair(tmp_path, request.param, synchronous=False) as found:
        yield found


async def at_work(cluster: Hosts, count: int, text: str = "150 0.02") -> list[tuple[Roamer, str]]:
    """Users whose runs are writing."""
    users = [Roamer(cluster, f"user{number}") for number in range(count)]
    found: list[tuple[Roamer, str]] = []
    for number, user in enumerate(users):
        await user.at(cluster[number % len(cluster.servers)])
        sent = await user.send(text, agent="story")
        found.append((user, sent["run_id"]))
    for user, run in found:
        await user.event("agent_output", run)
    return found


async def test_nobody_steals_and_nothing_is_called_twice_while_the_database_pauses(
    three: Hosts, one: Database
) -> None:
    found = await at_work(three, 6)
    server = one.server
    server.pause()
    await asyncio.sleep(10)  # longer than any lease: that is the point
    server.resume()
    for user, run in found:
        assert (await user.end(run))["status"] == "succeeded"
        # Whoever had it goes on; its lease lapsed, but nobody else may take that for its death.
        assert len(three[0].effects("lookup", query="tale")) == len(found)
        await user.verify()
        await user.close()


async def test_a_primary_is_killed_under_load_and_its_synchronous_standby_promoted(
    synchronous: tuple[Hosts, Pair],
) -> None:
    cluster, pair = synchronous
    found = await at_work(cluster, 10)
    accepted: list[tuple[Roamer, str]] = []
    stop = asyncio.Event()

    async def go_on(user: Roamer) -> None:
        while not stop.is_set():
            accepted.append((user, (await user.send("more", agent="wanderer"))["run_id"]))
            await user.end(accepted[-1][1])

    tasks = [asyncio.create_task(go_on(Roamer(cluster, f"more{n}"))) for n in range(5)]
    await eventually(lambda: len(accepted) >= 10)
    old = await asyncio.to_thread(pair.fail_over)
    await eventually(lambda: len(accepted) >= 30, "commands are accepted again")
    # The old primary comes back alone, where it was.
    await asyncio.to_thread(old.start)
    await eventually(lambda: len(accepted) >= 50)
    stop.set()
    await asyncio.gather(*tasks)
    for user, run in found + accepted:
        assert (await user.end(run))["status"] == "succeeded"
        assert user.log.resets == 0, "something that was delivered is lost"
    for user in {id(user): user for user, _ in found + accepted}.values():
        await user.verify()
        await user.close()


async def test_what_an_asynchronous_failover_lost_is_told_to_clients(
    asynchronous: tuple[Hosts, Pair],
) -> None:
    cluster, pair = asynchronous
    users = [Roamer(cluster, f"user{number}") for number in range(4)]
    for user in users:
        sent = await user.send("kept", agent="plain")
        await user.end(sent["run_id"])
        await user.through(user.tab.fence)
    await asyncio.to_thread(wait_for_standby, pair)
    # From here on the standby hears nothing.
    await asyncio.to_thread(pair.standby.follow, None)
    await eventually(lambda: pair.primary.sql("SELECT count(*) FROM pg_stat_replication") == "0")
    lost = [await user.send("5 0.01", agent="story") for user in users]
    for user, one in zip(users, lost, strict=True):
        await user.end(one["run_id"])
    await asyncio.to_thread(pair.fail_over)
    for user in users:
        with suppress(*GONE):
            await user.tab.until(lambda user=user: user.tab.goodbye)
            assert user.tab.goodbye is None or user.tab.goodbye["retry"]
        await user.anywhere()
        assert user.log.resets == 1, "a position of what was lost was believed"
        sent = await user.send("new", agent="plain")
        assert (await user.end(sent["run_id"]))["status"] == "succeeded"
        history = await user.tab.server.history(user.tab.user, sent["thread_id"])
        assert [item["text"] for item in history["items"]] == ["new", "You said: new"]
        await user.close()
    for user in users:  # nothing of what was lost is mixed in
        fresh = Roamer(cluster, user.tab.user)
        await fresh.through(fresh.tab.fence)
        texts = [e["data"]["text"] for e in fresh.log.events if e["type"] == "message_received"]
        assert texts == ["kept", "new"]
        await fresh.close()


def wait_for_standby(pair: Pair) -> None:
    """Until the standby has all that the primary has."""
    pair.primary.sql(
        "DO $$ BEGIN WHILE EXISTS (SELECT 1 FROM pg_stat_replication"
        " WHERE replay_lsn < pg_current_wal_lsn()) LOOP PERFORM pg_sleep(0.05); END LOOP; END $$"
    )
