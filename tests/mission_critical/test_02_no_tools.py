"""Case 2: an agent without tools shows no tool."""

import pytest

from tests.mission_critical.kit import Device, Server

pytestmark = pytest.mark.anyio


async def test_started_thinking_one_terminal_and_no_tool_events(server: Server) -> None:
    async with Device(server, "ada") as tab:
        sent, end = await tab.ask("hello", agent="plain")
        await tab.fence()
        types = tab.log.types(sent["run_id"])
        assert types == ["agent_started", "agent_thinking", "agent_output", "agent_completed"]
        assert end["status"] == "succeeded" and end["output"] == "You said: hello"
