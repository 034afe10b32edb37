"""Case 3: five calls at once, three of them of the same tool."""

import json

import pytest

from tests.mission_critical.kit import Device, Server, pairs

pytestmark = pytest.mark.anyio


async def test_each_start_has_one_end_with_its_own_call_id_and_output(server: Server) -> None:
    async with Device(server, "ada") as tab:
        sent, end = await tab.ask("go", agent="many")
        events = tab.log.of(sent["run_id"])
        calls = pairs(events)
        assert len({begun["call_id"] for begun, _ in calls}) == len(calls) == 5
        outputs = {
            begun["arguments"]["label"]: done["result"]
            for begun, done in calls
            if begun["tool"] == "delayed"
        }
        assert outputs == {f: f"value of {f}" for f in ("slow", "middle", "quick")}
        for begun, done in calls:
            assert (done["status"], done["tool"]) == ("ok", begun["tool"])
        # The three were under way at once: all began before the first of them ended.
        marks = [
            (e["type"], e["data"]["tool"])
            for e in events
            if e["type"] in ("tool_executing", "tool_completed")
        ]
        assert [kind for kind, _ in marks[:5]] == ["tool_executing"] * 5
        ended = [
            e["data"]["result"]
            for e in events
            if e["type"] == "tool_completed" and e["data"]["tool"] == "delayed"
        ]
        assert ended == ["value of quick", "value of middle", "value of slow"]
        # The agent got each result at its own place.
        results = json.loads(end["output"])
        assert results[:3] == ["value of slow", "value of middle", "value of quick"]
        assert results[3]["query"] == "q" and results[4]["token"] == "TOKEN-OF-RESULT"


async def test_two_runs_of_five_calls_each_do_not_mix(server: Server) -> None:
    async with Device(server, "bob") as tab:
        first = await tab.send("1", agent="many")
        second = await tab.send("2", agent="many")
        for sent in (first, second):
            await tab.end(sent["run_id"])
            assert len(pairs(tab.log.of(sent["run_id"]))) == 5
        ids = [b["call_id"] for s in (first, second) for b, _ in pairs(tab.log.of(s["run_id"]))]
        assert len(set(ids)) == 10
