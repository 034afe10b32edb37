"""Case 4: a tool that fails, one that is late, one that is denied; secrets never show."""

import json

import pytest

from tests.mission_critical.kit import Device, RefusedCommandError, Server, check_run, new_id, pairs

pytestmark = pytest.mark.anyio

SECRETS = [
    "SECRET-ONE",
    "SECRET-TWO",
    "SECRET-THREE",
    "SECRET-FOUR",
    "SECRET-FIVE",
    "TOKEN-OF-RESULT",
]


async def test_each_pair_closes_with_its_own_outcome_and_secrets_never_show(
    server: Server,
) -> None:
    async with Device(server, "ada") as tab:
        sent = await tab.send("go", agent="trouble")
        asked = await tab.event("approval_requested", sent["run_id"])
        assert asked["data"]["tool"] == "transfer" and asked["data"]["arguments"]["amount"] == 7
        history = await server.history("ada", sent["thread_id"])
        assert (
            history["open_runs"][0]["approvals"][0]["approval_id"] == asked["data"]["approval_id"]
        )
        assert history["open_runs"][0]["tools"][0]["tool"] == "transfer"
        await tab.decide(asked["data"]["approval_id"], "deny", "not today")
        end = await tab.end(sent["run_id"])
        assert end["output"] == "error timed_out denied ok"
        events = tab.log.of(sent["run_id"])
        check_run(events)
        statuses = {b["tool"]: done["status"] for b, done in pairs(events)}
        assert statuses == {
            "failing": "error", "tardy": "timed_out", "transfer": "denied", "login": "ok",
        }  # fmt: skip
        resolved = await tab.event("approval_resolved", sent["run_id"])
        assert (resolved["data"]["decision"], resolved["data"]["reason"]) == ("denied", "not today")
        assert not server.effects("transfer"), "a denied tool's body was entered"
        shown = json.dumps(tab.log.events) + json.dumps(history)
        shown += json.dumps(await server.history("ada", sent["thread_id"]))
        async with server.http("ada") as web:
            shown += (await web.get(f"/v1/runs/{sent['run_id']}/events")).text
        shown += server.log_text()
        assert [s for s in SECRETS if s in shown] == []
        logged = server.command("log", "ada", "--store", server.store_url, "--internal", "--json")
        assert logged.returncode == 0 and logged.stdout
        assert [s for s in SECRETS if s in logged.stdout] == [], "shown without --reveal"


async def test_a_decision_is_taken_once(server: Server) -> None:
    async with Device(server, "bob") as tab:
        sent = await tab.send("3", agent="asks")
        asked = (await tab.event("approval_requested", sent["run_id"]))["data"]["approval_id"]
        await tab.decide(asked, "approve")
        assert (await tab.end(sent["run_id"]))["output"] == "moved 3"
        assert len(server.effects("transfer", amount=3)) == 1
        with pytest.raises(RefusedCommandError) as refused:
            await tab.decide(asked, "deny")
        assert refused.value.code == "already_decided"


async def test_retries_are_one_pair(server: Server) -> None:
    async with Device(server, "cyd") as tab:
        label = new_id()
        sent, end = await tab.ask(label, agent="flaky_caller")
        assert end["output"] == "at last"
        ((_, done),) = pairs(tab.log.of(sent["run_id"]))
        assert (done["status"], done["attempts"]) == ("ok", 3)
        assert len(server.effects("flaky", label=label)) == 3


async def test_a_tool_tells_how_far_it_is(server: Server) -> None:
    async with Device(server, "dee") as tab:
        sent, end = await tab.ask("x", agent="progressive")
        assert end["output"] == "done"
        events = tab.log.of(sent["run_id"])
        told = [e["data"] for e in events if e["type"] == "tool_progress"]
        assert told[0]["text"] == "begun" and told[0]["fraction"] == 0.1
        ((begun, _),) = pairs(events)
        assert {t["call_id"] for t in told} == {begun["call_id"]}
