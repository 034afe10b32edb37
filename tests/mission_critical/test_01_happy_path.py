"""Case 1: one tool, the five events, the answer; the same by every way to look at it."""

import pytest

from tests.mission_critical.kit import Device, Server, check_run, pairs, text_of

pytestmark = pytest.mark.anyio

FIVE = ["agent_started", "agent_thinking", "tool_executing", "tool_completed", "agent_completed"]


async def test_the_five_events_come_in_order_for_the_same_user_thread_and_run(
    server: Server,
) -> None:
    async with Device(server, "ada") as tab:
        sent, end = await tab.ask("rain?", agent="weather")
        events = tab.log.of(sent["run_id"])
        assert [e["type"] for e in events if e["type"] in FIVE] == FIVE
        assert {(e["thread_id"], e["run_id"]) for e in events} == {
            (sent["thread_id"], sent["run_id"])
        }
        assert events[0]["type"] == "message_received"
        assert events[0]["data"]["message_id"] == sent["message_id"]
        seqs = [e["seq"] for e in tab.log.events]
        assert seqs == sorted(set(seqs))
        assert end["status"] == "succeeded" and end["error"] is None and not end["partial"]
        ((begun, done),) = pairs(events)
        assert begun["tool"] == "lookup" and begun["arguments"] == {"query": "rain?"}
        assert done["status"] == "ok" and done["result"] == {"query": "rain?", "rows": [1, 2, 3]}
        assert len(server.effects("lookup", query="rain?")) == 1


async def test_the_terminal_text_is_the_pieces_the_history_and_the_run(server: Server) -> None:
    async with Device(server, "bob") as tab:
        sent, end = await tab.ask("Snow ❄️ or 雪?", agent="weather")
        wanted = "It is sunny, says Snow ❄️ or 雪?. ☀️ 🌍 End."
        assert end["output"] == text_of(tab.log.of(sent["run_id"])) == wanted
        history = await server.history("bob", sent["thread_id"])
        assert [(m["role"], m["text"]) for m in history["items"]] == [
            ("user", "Snow ❄️ or 雪?"),
            ("assistant", wanted),
        ]
        assert history["items"][1]["run_id"] == sent["run_id"] and not history["open_runs"]
        assert history["as_of"] == tab.log.cursor
        run = await server.run("bob", sent["run_id"])
        assert (run["status"], run["output"]) == ("succeeded", wanted)
        async with server.http("bob") as web:
            told = (await web.get(f"/v1/runs/{sent['run_id']}/events")).json()["items"]
        assert told == tab.log.of(sent["run_id"])


async def test_a_second_question_goes_on_in_the_thread_and_sees_the_first(server: Server) -> None:
    async with Device(server, "cyd") as tab:
        first, _ = await tab.ask("alpha", agent="confidential")
        second, end = await tab.ask("beta", thread_id=first["thread_id"])
        assert second["thread_id"] == first["thread_id"] and second["run_id"] != first["run_id"]
        assert "before: alpha | heard alpha; found alpha;" in end["output"]
        check_run(tab.log.of(first["run_id"]))
        started = await tab.event("agent_started", second["run_id"])
        assert started["data"]["agent"] == "confidential", "the thread's agent"
