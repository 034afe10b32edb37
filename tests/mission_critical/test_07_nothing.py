"""Case 7: no answer is no success."""

import pytest

from tests.mission_critical.kit import Device, Server

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("what", ["none", "empty", "blank"])
async def test_an_agent_that_returns_nothing_failed(server: Server, what: str) -> None:
    async with Device(server, f"user-{what}") as tab:
        sent, end = await tab.ask(what, agent="nothing")
        assert end["status"] == "failed" and end["error"]["code"] == "empty_answer"
        assert end["error"]["message"]
        run = await server.run(tab.user, sent["run_id"])
        assert (run["status"], run["error"]["code"]) == ("failed", "empty_answer")
