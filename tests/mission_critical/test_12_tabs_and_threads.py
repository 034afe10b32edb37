"""Case 12: tabs see the same; threads keep their order; `when_busy` does what it says."""

import asyncio

import pytest

from tests.mission_critical.kit import Device, RefusedCommandError, Server, check_run, new_id

pytestmark = pytest.mark.anyio


async def test_two_tabs_see_the_same(server: Server) -> None:
    async with Device(server, "ada") as one, Device(server, "ada", device=one.device) as two:
        sent = await one.send("20 0.005", agent="story")
        other = await two.send("20 0.005", agent="story")
        for tab in (one, two):
            await tab.end(sent["run_id"])
            await tab.end(other["run_id"])
            await tab.fence()
        assert one.log.events == two.log.events
        assert (one.log.cursor, one.log.mark) == (two.log.cursor, two.log.mark)


async def test_two_runs_of_one_user_keep_their_own_sequences(server: Server) -> None:
    async with Device(server, "bob") as tab:
        runs = [(await tab.send(f"{n} 0.02", agent="story"))["run_id"] for n in (60, 80)]
        for run, count in zip(runs, (60, 80), strict=True):
            end = await tab.end(run)
            assert end["output"] == "".join(f"piece {i:04}. " for i in range(count))
            check_run(tab.log.of(run))
        order = [e["run_id"] for e in tab.log.events if e["type"] == "agent_output"]
        changes = sum(a != b for a, b in zip(order, order[1:], strict=False))
        assert changes > 2, "they ran one after the other, not at once"


async def test_queue_waits_for_its_turn(server: Server) -> None:
    async with Device(server, "cyd") as tab:
        gates = [new_id() for _ in range(3)]
        first = await tab.send(gates[0], agent="gated")
        thread = first["thread_id"]
        later = [await tab.send(g, thread_id=thread) for g in gates[1:]]
        for position, sent in enumerate(later, 1):
            queued = await tab.event("run_queued", sent["run_id"])
            assert queued["data"] == {"reason": "thread_busy", "position": position}
        run = await server.run("cyd", later[0]["run_id"])
        assert run["status"] == "waiting" and run["times"]["started"] is None
        for gate in reversed(gates):
            server.open_gate(gate)
        order = [first, *later]
        for sent in order:
            await tab.end(sent["run_id"])
            check_run(tab.log.of(sent["run_id"]))
        marks = [
            (e["type"], e["run_id"])
            for e in tab.log.events
            if e["type"] in ("agent_started", "agent_completed")
        ]
        assert marks == [
            (type, sent["run_id"])
            for sent in order
            for type in ("agent_started", "agent_completed")
        ]


async def test_reject_is_busy_and_later_it_is_not(server: Server) -> None:
    async with Device(server, "dee") as tab:
        gate = new_id()
        first = await tab.send(gate, agent="gated")
        frame = {
            "type": "send", "id": new_id(), "thread_id": first["thread_id"], "text": "no",
            "when_busy": "reject", "agent": "plain",
        }  # fmt: skip
        with pytest.raises(RefusedCommandError) as refused:
            await tab.command(dict(frame))
        assert refused.value.code == "busy"
        # It is about the thread: in another one it goes.
        elsewhere, _ = await tab.ask("yes", agent="plain", when_busy="reject")
        assert elsewhere["thread_id"] != first["thread_id"]
        server.open_gate(gate)
        await tab.end(first["run_id"])
        # The same id again is tried again, and is one message.
        sent = await tab.command(dict(frame))
        assert (await tab.end(sent["run_id"]))["output"] == "You said: no"
        await tab.fence()
        said = [e["data"]["text"] for e in tab.log.events if e["type"] == "message_received"]
        assert said.count("no") == 1


async def test_interrupt_cancels_the_active_keeps_the_queue_and_is_next(server: Server) -> None:
    async with Device(server, "eve") as tab:
        first = await tab.send(new_id(), agent="gated")
        thread = first["thread_id"]
        await tab.event("agent_output", first["run_id"])
        kept = await tab.send("kept", thread_id=thread, agent="plain")
        urgent = await tab.send("urgent", thread_id=thread, agent="plain", when_busy="interrupt")
        ends = [await tab.end(s["run_id"]) for s in (first, urgent, kept)]
        assert [e["status"] for e in ends] == ["cancelled", "succeeded", "succeeded"]
        assert ends[0]["output"] == "before " and ends[0]["partial"]
        order = [e["run_id"] for e in tab.log.events if e["type"] == "agent_started"]
        assert order == [first["run_id"], urgent["run_id"], kept["run_id"]]
        for sent in (first, urgent, kept):
            check_run(tab.log.of(sent["run_id"]))


async def test_a_thread_may_be_renamed_and_every_tab_hears_of_it(server: Server) -> None:
    async with Device(server, "fay") as one, Device(server, "fay") as two:
        sent, _ = await one.ask("my   title", agent="plain")
        created = await two.event("thread_created")
        assert created["data"]["title"] == "my title"
        async with server.http("fay") as web:
            answer = await web.patch(f"/v1/threads/{sent['thread_id']}", json={"title": "Other"})
            assert answer.status_code == 200 and answer.json()["title"] == "Other"
            listed = (await web.get("/v1/threads")).json()["items"]
        assert [t["title"] for t in listed] == ["Other"]
        for updated in await asyncio.gather(
            one.event("thread_updated"), two.event("thread_updated")
        ):
            assert updated["data"] == {"title": "Other", "archived": False}
