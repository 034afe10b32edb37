"""Case 13: at a limit one waits or is refused, with a reason; nobody else feels it."""

from pathlib import Path

import pytest

from tests.mission_critical.kit import (
    Device,
    RefusedCommandError,
    Server,
    check_run,
    eventually,
    new_id,
)
from tests.mission_critical.places import Place

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def flags() -> tuple[str, ...]:
    return (
        *(
            "--limit-runs-at-once",
            "2",
            "--limit-runs-waiting",
            "2",
            "--limit-sockets-per-user",
            "4",
        ),
        *("--limit-message", "2KiB", "--limit-answer", "4KiB", "--limit-cancel", "100ms"),
    )


async def test_the_next_is_queued_then_refused_and_others_feel_nothing(server: Server) -> None:
    async with Device(server, "ada") as tab, Device(server, "other") as neighbour:
        gates = [new_id() for _ in range(4)]
        running = [await tab.send(g, agent="gated") for g in gates[:2]]
        waiting = [await tab.send(g, agent="gated") for g in gates[2:]]
        for position, sent in enumerate(waiting, 1):
            queued = await tab.event("run_queued", sent["run_id"])
            assert queued["data"] == {"reason": "user_limit", "position": position}
        with pytest.raises(RefusedCommandError) as refused:
            await tab.send("one more", agent="plain")
        assert refused.value.code == "queue_full" and refused.value.frame["error"]["retryable"]
        async with server.http("ada") as web:
            usage = (await web.get("/v1/me")).json()["usage"]
        assert (usage["runs_running"], usage["runs_waiting"]) == (2, 2)
        sent, end = await neighbour.ask("me?", agent="plain")
        assert end["status"] == "succeeded"
        assert "run_queued" not in neighbour.log.types(sent["run_id"])
        for index, sent in enumerate(running):
            server.open_gate(gates[index])
            await tab.end(sent["run_id"])
            await tab.event("agent_started", waiting[index]["run_id"])
        for index, sent in enumerate(waiting, 2):
            server.open_gate(gates[index])
            await tab.end(sent["run_id"])
            check_run(tab.log.of(sent["run_id"]))


@pytest.mark.parametrize("how", ["success", "failure", "cancel", "timeout", "abandonment"])
async def test_the_slot_comes_back(server: Server, how: str) -> None:
    async with Device(server, f"slot-{how}") as tab:
        label = new_id()
        # One slot is taken all the time; the other one is what it is about.
        holder = await tab.send(label, agent="gated")
        for _ in range(3):
            match how:
                case "success":
                    await tab.ask("x", agent="plain")
                case "failure":
                    await tab.ask("after", agent="raises")
                case "cancel":
                    sent = await tab.send(new_id(), agent="gated")
                    await tab.cancel(sent["run_id"])
                    assert (await tab.end(sent["run_id"]))["status"] == "cancelled"
                case "timeout":
                    await tab.ask("await", agent="hangs")
                case _:
                    await tab.ask(f"swallow {label}", agent="hangs")
        sent, end = await tab.ask("free?", agent="plain")
        assert end["status"] == "succeeded"
        assert "run_queued" not in tab.log.types(sent["run_id"]), "the slot did not come back"
        server.open_gate(label)
        await tab.end(holder["run_id"])


async def test_the_slot_comes_back_after_a_crash(mortal: Server) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    held = [await tab.send(f"gate{i}", agent="gated") for i in range(3)]
    await tab.event("run_queued", held[2]["run_id"])
    await tab.event("agent_started", held[1]["run_id"])
    mortal.restart()
    await tab.connect()
    for i in range(3):
        mortal.open_gate(f"gate{i}")
    for sent in held:
        assert (await tab.end(sent["run_id"]))["status"] == "succeeded"
        check_run(tab.log.of(sent["run_id"]))
    sent, _ = await tab.ask("free?", agent="plain")
    assert "run_queued" not in tab.log.types(sent["run_id"])
    await tab.close()


async def test_a_full_host_queues_fairly_between_users(tmp_path: Path, place: Place) -> None:
    server = Server(tmp_path, "--limit-host-runs-at-once", "2", place=place)
    server.start()
    try:
        async with Device(server, "greedy") as greedy, Device(server, "modest") as modest:
            held = [await greedy.send(f"g{i}", agent="gated") for i in range(3)]
            queued = await greedy.event("run_queued", held[2]["run_id"])
            assert queued["data"]["reason"] == "host_limit"
            sent = await modest.send("m", agent="gated")
            queued = await modest.event("run_queued", sent["run_id"])
            assert queued["data"]["reason"] == "host_limit"
            server.open_gate("g0")
            await greedy.end(held[0]["run_id"])
            await greedy.event("agent_started", held[2]["run_id"])
            server.open_gate("g1")
            await modest.event("agent_started", sent["run_id"])
            for gate in ("g2", "m"):
                server.open_gate(gate)
            assert (await modest.end(sent["run_id"]))["status"] == "succeeded"
            for one in held:
                await greedy.end(one["run_id"])
        server.stop()
        server.check()
    finally:
        server.kill()


async def test_sizes_have_limits_with_a_reason(server: Server) -> None:
    async with Device(server, "size") as tab:
        await tab.ask("x" * 2048, agent="nothing")
        with pytest.raises(RefusedCommandError) as refused:
            await tab.send("x" * 2049, agent="plain")
        assert refused.value.code == "too_large"
        _, end = await tab.ask("1000", agent="story")
        assert end["status"] == "failed" and end["error"]["code"] == "agent_error"
        assert len(end["output"].encode()) <= 4096 and end["partial"]


async def test_the_oldest_of_too_many_sockets_gives_way(server: Server) -> None:
    tabs = [Device(server, "many") for _ in range(5)]
    for tab in tabs[:4]:
        await tab.connect()
    await tabs[4].connect()
    assert await tabs[0].until_closed() == 4409
    sent, _ = await tabs[4].ask("x", agent="plain")
    for tab in tabs[1:4]:
        await tab.end(sent["run_id"])

    async def counted() -> bool:
        return (await server.metrics())["goldenpath_sockets"] == 4

    await eventually(counted)
    for tab in tabs[1:]:
        await tab.close()
