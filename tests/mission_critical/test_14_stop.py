"""Case 14: a run is stopped, wherever it is: acknowledged at once, really stopped."""

import time

import pytest

from tests.mission_critical.kit import (
    Device,
    RefusedCommandError,
    Server,
    check_run,
    eventually,
    new_id,
    pairs,
)

pytestmark = pytest.mark.anyio

ACKNOWLEDGED_SECONDS = 1.0
"""A clause of the case: from the command to its answer."""


async def stop(tab: Device, run_id: str) -> None:
    began = time.monotonic()
    answer = await tab.cancel(run_id)
    assert time.monotonic() - began < ACKNOWLEDGED_SECONDS
    assert answer["run_id"] == run_id
    end = await tab.end(run_id)
    assert end["status"] == "cancelled" and end["error"] is None
    check_run(tab.log.of(run_id))
    with pytest.raises(RefusedCommandError) as refused:
        await tab.cancel(run_id)
    assert refused.value.code == "run_ended"
    assert (await tab.server.run(tab.user, run_id))["status"] == "cancelled"


async def test_while_it_waits_for_its_turn(server: Server) -> None:
    async with Device(server, "queue") as tab:
        gate = new_id()
        first = await tab.send(gate, agent="gated")
        second = await tab.send("never", thread_id=first["thread_id"], agent="plain")
        await tab.event("run_queued", second["run_id"])
        await stop(tab, second["run_id"])
        assert tab.log.types(second["run_id"]) == ["run_queued", "agent_completed"]
        server.open_gate(gate)
        assert (await tab.end(first["run_id"]))["status"] == "succeeded"


async def test_while_it_thinks_and_writes(server: Server) -> None:
    async with Device(server, "think") as tab:
        sent = await tab.send(new_id(), agent="gated")
        await tab.event("agent_output", sent["run_id"])
        await stop(tab, sent["run_id"])
        end = await tab.end(sent["run_id"])
        assert end["output"] == "before " and end["partial"]


async def test_in_a_tool_whose_body_is_really_cancelled(server: Server) -> None:
    async with Device(server, "tool") as tab:
        label = new_id()
        sent = await tab.send(label, agent="endless_tool")
        await eventually(lambda: server.effects("endless_began", label=label))
        await stop(tab, sent["run_id"])
        await eventually(lambda: server.effects("endless_cancelled", label=label))
        ((_, done),) = pairs(tab.log.of(sent["run_id"]))
        assert done["status"] == "cancelled"


async def test_while_an_approval_waits(server: Server) -> None:
    async with Device(server, "approval") as tab:
        sent = await tab.send("5", agent="asks")
        asked = await tab.event("approval_requested", sent["run_id"])
        await stop(tab, sent["run_id"])
        resolved = tab.log.find("approval_resolved", sent["run_id"])
        assert resolved is not None and resolved["data"]["decision"] == "cancelled"
        ((_, done),) = pairs(tab.log.of(sent["run_id"]))
        assert done["status"] == "cancelled"
        with pytest.raises(RefusedCommandError) as refused:
            await tab.decide(asked["data"]["approval_id"], "approve")
        assert refused.value.code == "already_decided"
        assert not server.effects("transfer", amount=5)


async def test_while_an_approval_waits_out_of_memory(server: Server) -> None:
    async with Device(server, "parked") as tab:
        sent = await tab.send("6", agent="asks")
        await tab.event("approval_requested", sent["run_id"])
        await eventually(
            lambda: server.journal("parked", "run_parked", sent["run_id"]), "it leaves the memory"
        )
        await stop(tab, sent["run_id"])
        resolved = tab.log.find("approval_resolved", sent["run_id"])
        assert resolved is not None and resolved["data"]["decision"] == "cancelled"
        ((_, done),) = pairs(tab.log.of(sent["run_id"]))
        assert done["status"] == "cancelled"
        assert not server.effects("transfer", amount=6)


async def test_in_a_child_run(server: Server) -> None:
    async with Device(server, "child") as tab:
        label = f"endless {new_id()}"
        sent = await tab.send(label, agent="parent")
        await eventually(lambda: server.effects("endless_began", label=label))
        child = await tab.until(
            lambda: next(
                (
                    e
                    for e in tab.log.events
                    if e["type"] == "agent_started" and e["data"]["parent_run_id"] == sent["run_id"]
                ),
                None,
            )
        )
        assert child["run_id"] != sent["run_id"] and child["thread_id"] == sent["thread_id"]
        await stop(tab, sent["run_id"])
        end = await tab.end(child["run_id"])
        assert end["status"] == "cancelled"
        check_run(tab.log.of(child["run_id"]))
        ends = [e["run_id"] for e in tab.log.events if e["type"] == "agent_completed"]
        assert ends == [child["run_id"], sent["run_id"]], "the parent's end comes last"
        await eventually(lambda: server.effects("endless_cancelled", label=label))


async def test_while_it_sleeps_durably(server: Server) -> None:
    async with Device(server, "sleep") as tab:
        sent = await tab.send("3600", agent="sleeper")
        await tab.event("tool_completed", sent["run_id"])
        await stop(tab, sent["run_id"])
        # Long enough asleep to have left the memory: by HTTP this time.
        again = await tab.send("3600", agent="sleeper")
        await tab.event("tool_completed", again["run_id"])
        await eventually(
            lambda: server.journal("sleep", "run_parked", again["run_id"]), "it leaves the memory"
        )
        async with server.http("sleep") as web:
            answer = await web.post(f"/v1/runs/{again['run_id']}/cancel")
            assert answer.status_code == 202, answer.text
        assert (await tab.end(again["run_id"]))["status"] == "cancelled"
        check_run(tab.log.of(again["run_id"]))


async def test_a_child_that_does_its_work(server: Server) -> None:
    async with Device(server, "family") as tab:
        sent, end = await tab.ask("short", agent="parent")
        assert end["output"] == "parent got: child at work. "
        assert sent["run_id"] in {e["run_id"] for e in tab.log.events}
