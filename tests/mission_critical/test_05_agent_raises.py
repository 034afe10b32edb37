"""Case 5: an agent that raises, wherever: one honest terminal, and nothing after it."""

import json

import pytest

from tests.mission_critical.kit import TERMINAL, Device, Server, pairs

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("place", ["first", "thinking", "tool", "after", "writing", "group"])
async def test_one_terminal_failed_with_a_code_and_nothing_after(
    server: Server, place: str
) -> None:
    async with Device(server, f"user-{place}") as tab:
        sent, end = await tab.ask(place, agent="raises")
        assert end["status"] == "failed"
        assert end["error"]["code"] == "agent_error"
        assert end["error"]["message"] and isinstance(end["error"]["retryable"], bool)
        # Something later in the log, so that what follows the end would be seen.
        await tab.ask("still here?", agent="plain", thread_id=sent["thread_id"])
        await tab.fence()
        types = tab.log.types(sent["run_id"])
        assert types.count(TERMINAL) == 1 and types[-1] == TERMINAL
        assert types[0] == "agent_started"
        if place in ("writing", "group"):
            assert end["output"] == "The answer is beg" and end["partial"]
        else:
            assert end["output"] == ""
        if place == "tool":
            ((_, done),) = pairs(tab.log.of(sent["run_id"]))
            assert done["status"] == "error"
        assert "INTERNAL" not in json.dumps(tab.log.events), "an exception's text is not for users"
        run = await server.run(tab.user, sent["run_id"])
        assert (run["status"], run["error"]["code"]) == ("failed", "agent_error")


async def test_the_stack_is_in_the_journal_for_the_operator(server: Server) -> None:
    async with Device(server, "ops") as tab:
        await tab.ask("after", agent="raises")
    done = server.command(
        "log", "ops", "--store", server.store_url, "--internal", "--reveal", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert "INTERNAL after a tool" in done.stdout and "Traceback" in done.stdout


async def test_an_agent_that_returns_no_text_failed(server: Server) -> None:
    async with Device(server, "num") as tab:
        _, end = await tab.ask("x", agent="number")
        assert (end["status"], end["error"]["code"]) == ("failed", "agent_error")
