"""Case 20: what comes due without anyone connected happens."""

import json

import pytest

from tests.mission_critical.kit import Device, Server, check_run, eventually

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return ("--limit-linger", "1s", "--limit-park", "500ms")


async def statuses(server: Server, user: str, runs: list[str]) -> list[str]:
    """What an operator sees, without any client of the user."""
    done = server.command("runs", "--user", user, "--json", "--store", server.store_url)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return [next(r["status"] for r in rows if r["run_id"] == run) for run in runs]


@pytest.mark.parametrize("restarted", [False, True], ids=["in one life", "after a restart"])
async def test_sleep_expiry_and_queue_happen_with_no_client(
    mortal: Server, restarted: bool
) -> None:
    async with Device(mortal, "ada") as tab:
        sleep = await tab.send("2.5", agent="sleeper")
        ask = await tab.send("2.5", agent="permits")
        await tab.event("approval_requested", ask["run_id"])
        await tab.event("tool_completed", sleep["run_id"])
        # Both leave the memory, and with them the slots.
        for sent in (sleep, ask):
            await eventually(
                lambda run=sent["run_id"]: mortal.journal("ada", "run_parked", run), "parked"
            )
        first = await tab.send("gate", agent="gated")
        queued = await tab.send("next", thread_id=first["thread_id"], agent="plain")
        await tab.event("run_queued", queued["run_id"])
        cursor, mark = tab.log.cursor, tab.log.mark
    runs = [s["run_id"] for s in (sleep, ask, first, queued)]
    if restarted:
        mortal.restart()
    mortal.open_gate("gate")

    async def all_ended() -> bool:
        return await statuses(mortal, "ada", runs) == ["succeeded"] * 4

    await eventually(all_ended, "all four end with nobody there")
    # Only then somebody looks.
    tab.log.cursor, tab.log.mark = cursor, mark
    await tab.connect()
    for run in runs:
        await tab.end(run)
        check_run(tab.log.of(run))
    assert (await tab.end(runs[0]))["output"] == "careful before sleep, careful after sleep"
    assert (await tab.end(runs[1]))["output"] == "expired"
    assert (await tab.event("approval_resolved", runs[1]))["data"]["decision"] == "expired"
    assert (await tab.end(runs[2]))["output"] == "before after"
    assert (await tab.end(runs[3]))["output"] == "You said: next"
    assert len(mortal.effects("careful", label="before sleep")) == 1
    assert len(mortal.effects("careful", label="after sleep")) == 1
    assert tab.log.find("agent_resumed", runs[0]) is not None
    await tab.close()


async def test_a_sleeper_holds_no_slot_and_no_engine(mortal: Server) -> None:
    async with Device(mortal, "bob") as tab:
        sleepers = [await tab.send("3600", agent="sleeper") for _ in range(6)]
        for sent in sleepers:
            await tab.event("tool_completed", sent["run_id"])
        await tab.ask("free?", agent="plain")
        mortal.restart()
        await tab.connect()
        await tab.ask("and now?", agent="plain")

        async def idle() -> bool:
            return (await mortal.metrics())["goldenpath_engines"] == 0

        await eventually(idle, "an engine stays for sleepers")
        for one in sleepers:
            await tab.cancel(one["run_id"])
            assert (await tab.end(one["run_id"]))["status"] == "cancelled"
