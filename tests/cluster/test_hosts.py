"""Hosts die, stop, are cut off and leave; what they ran goes on elsewhere, once."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.cluster.kit import LEASE_SECONDS, Hosts, Roamer
from tests.databases import Database
from tests.mission_critical.kit import JSON, Server, eventually, pairs
from tests.mission_critical.test_19_kill import SEEN, STAGES, judge

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]


async def reach(cluster: Hosts, user: Roamer, stage: str) -> tuple[str, Server]:
    """A run that has got to a stage and waits there, and the host that runs it."""
    await user.at(cluster[0])
    sent = await user.send(f"hold {stage}", agent="staged")
    type, data = SEEN[stage]
    await user.event(type, sent["run_id"], **data)
    if stage.startswith("in_"):
        label = f"hold-{data['tool']}"
        noted = await eventually(lambda: cluster[0].effects(label=label))
    else:
        noted = await eventually(lambda: cluster[0].effects("reached"))
    return sent["run_id"], at(cluster, noted)


def at(cluster: Hosts, noted: list[JSON]) -> Server:
    """The host where a body was entered; nearly always the one that accepted the command."""
    return next(server for server in cluster if server.pid == noted[-1]["pid"])


@pytest.mark.parametrize("tabs", ["open", "closed"])
@pytest.mark.parametrize("stage", STAGES)
async def test_a_host_is_killed_at_every_kind_of_entry(three: Hosts, stage: str, tabs: str) -> None:
    user = Roamer(three, "ada")
    run, owner = await reach(three, user, stage)
    if tabs == "closed":
        await user.close()
    owner.kill()
    open_gates(three)
    if tabs == "closed":

        async def ended() -> bool:
            done = owner.command(
                "runs", "--user", user.tab.user, "--json", "--store", owner.store_url
            )
            return '"succeeded"' in done.stdout

        await eventually(ended, "the run goes on with nobody connected")
    end = await user.end(run)
    assert end["status"] == "succeeded"
    judge(three[1], user.tab, run, stage, "hold")
    await user.verify()
    await user.close()


def open_gates(cluster: Hosts) -> None:
    for _, data in SEEN.values():
        if "tool" in data:
            cluster[0].open_gate(f"hold-{data['tool']}")
    cluster[0].open_gate("hold")


async def test_a_stopped_host_writes_nothing_and_enters_nothing_when_it_goes_on(
    three: Hosts,
) -> None:
    """Its lease has passed: what it had begun is the new owner's."""
    user = Roamer(three, "ada")
    await user.at(three[0])
    sent = await user.send("two", agent="between_tools")
    await user.event("tool_completed", sent["run_id"])
    three[0].freeze()
    user.tab.server = three[1]
    await user.at(three[1])
    await user.event("agent_resumed", sent["run_id"])
    three[0].open_gate("two")  # the old one is between its two tools when it goes on
    end = await user.end(sent["run_id"])
    before = three[1].effects("careful")
    three[0].thaw()
    # It serves again, and has heard that the user is another's.
    fresh = Roamer(three, "ada")
    await fresh.at(three[0])
    _, again = await fresh.tab.ask("on", agent="plain")
    assert again["status"] == end["status"] == "succeeded"
    assert three[1].effects("careful") == before and len(before) == 2
    assert [done["status"] for _, done in pairs(user.log.of(sent["run_id"]))] == ["ok", "ok"]
    await user.verify()
    await user.close()
    await fresh.close()


async def test_a_host_without_its_database_gives_up_and_comes_back(three: Hosts) -> None:
    user = Roamer(three, "ada")
    await user.at(three[0])
    sent = await user.send("cut", agent="between_tools")
    await user.event("tool_completed", sent["run_id"])
    three.cut(0)
    await user.at(three[1])
    await user.event("agent_resumed", sent["run_id"])
    three[0].open_gate("cut")
    assert (await user.end(sent["run_id"]))["status"] == "succeeded"
    await eventually(lambda: ready(three, 0, 503), "it says that it cannot accept")
    three.mend(0)
    await eventually(lambda: ready(three, 0, 200), "it can accept again")
    assert len(three[1].effects("careful")) == 2
    await user.at(three[0])
    _, end = await user.tab.ask("again", agent="plain")
    assert end["status"] == "succeeded"
    await user.verify()
    await user.close()


async def ready(cluster: Hosts, number: int, status: int) -> bool:
    async with cluster[number].http() as web:
        return (await web.get("/readyz")).status_code == status


async def test_all_hosts_die_at_once(three: Hosts) -> None:
    users = [Roamer(three, f"user{number}") for number in range(12)]
    sent = [await user.send("all at once", agent="wanderer") for user in users]
    for server in three:
        server.kill()
    for server in three:
        server.start()
    for user, one in zip(users, sent, strict=True):
        assert (await user.end(one["run_id"]))["status"] == "succeeded"
        await user.verify()
        await user.close()


async def test_a_drained_host_hands_over_what_runs(three: Hosts, one: Database) -> None:
    users = [Roamer(three, f"user{number}") for number in range(10)]
    for user in users:
        await user.at(three[0])
    # Ten seconds: longer than a busy machine takes to start the command that drains.
    sent = [await user.send("500 0.02", agent="story") for user in users]
    for user, run in zip(users, sent, strict=True):
        await user.event("agent_output", run["run_id"])
    done = await asyncio.to_thread(three[1].command, "drain", "host1", "--store", one.url)
    assert done.returncode == 0, done.stderr
    await three[0].died()
    for user, run in zip(users, sent, strict=True):
        assert (await user.end(run["run_id"]))["status"] == "succeeded"
        resumed = [e["data"]["reason"] for e in user.log.of(run["run_id"])
                   if e["type"] == "agent_resumed"]  # fmt: skip
        assert resumed == ["shutdown"]
        await user.verify()
        await user.close()


async def test_a_run_in_a_tool_that_may_not_be_repeated_is_handed_over_after_it(
    three: Hosts, one: Database
) -> None:
    user = Roamer(three, "ada")
    await user.at(three[0])
    sent = await user.send("hold in_tool", agent="staged")
    await eventually(lambda: three[0].effects(label="hold-careful"))
    leaving = asyncio.create_task(
        asyncio.to_thread(three[1].command, "drain", "host1", "--store", one.url)
    )
    await eventually(lambda: "draining" in three[0].log_text())
    open_gates(three)
    assert (await leaving).returncode == 0
    assert (await user.end(sent["run_id"]))["status"] == "succeeded"
    assert [done["status"] for _, done in pairs(user.log.of(sent["run_id"]))] == ["ok", "ok"]
    assert len(three[1].effects("careful")) == 1
    await user.verify()
    await user.close()


async def test_two_hundred_sockets_are_moved_by_a_rolling_restart(three: Hosts) -> None:
    users = [Roamer(three, f"user{number}") for number in range(200)]
    rng = random.Random(1)
    for user in users:
        await user.at(three[rng.randrange(3)])
    stop = asyncio.Event()

    async def live(user: Roamer) -> None:
        while not stop.is_set():
            sent = await user.send("5 0.01", agent="story")
            end = await user.end(sent["run_id"])
            assert end["status"] == "succeeded", user.log.of(sent["run_id"])
            await asyncio.sleep(rng.random() * 2)

    tasks = [asyncio.create_task(live(user)) for user in users]
    for server in three:
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
    stop.set()
    await asyncio.gather(*tasks)
    assert sum(user.moves for user in users) >= 200
    for user in users[::10]:
        await user.verify()
    await asyncio.gather(*(user.close() for user in users))


async def test_a_command_at_a_host_that_does_not_own_the_user_is_answered_by_the_owner(
    three: Hosts,
) -> None:
    user, other = Roamer(three, "ada"), Roamer(three, "ada")
    await user.at(three[0])
    sent = await user.send("long", agent="gated")
    await user.event("agent_started", sent["run_id"])
    await other.at(three[1])
    cancelled = await other.tab.cancel(sent["run_id"])
    assert cancelled["run_id"] == sent["run_id"]
    assert (await user.end(sent["run_id"]))["status"] == "cancelled"
    assert (await other.end(sent["run_id"]))["status"] == "cancelled"
    await user.close()
    await other.close()


async def test_a_sleeper_of_a_dead_host_is_woken_by_another(three: Hosts) -> None:
    user = Roamer(three, "ada")
    await user.at(three[0])
    sent = await user.send(str(LEASE_SECONDS + 2), agent="sleeper")
    await eventually(lambda: "run_parked" in three[1].command(
        "log", user.tab.user, "--internal", "--store", three[1].store_url).stdout)  # fmt: skip
    await user.close()
    three[0].kill()
    await eventually(lambda: three[1].effects(label="after sleep"), "the sleeper goes on")
    assert (await user.end(sent["run_id"]))["status"] == "succeeded"
    await user.close()
