"""`goldenpath.testing`: scripted agents, a clock by hand, a server of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

import goldenpath.testing
from goldenpath import App, RefusedError, RunContext, agent, tool
from goldenpath.testing import (
    Approve,
    AppServer,
    AskAgent,
    Call,
    Fail,
    FakeClock,
    ScriptedAgent,
    Sleep,
    Think,
    Write,
)

Serve = Callable[..., AppServer]


@tool(idempotent=True)
async def price(drink: str) -> float:
    """The price of a drink."""
    return {"tea": 3.2}[drink]


def waiter() -> ScriptedAgent:
    return ScriptedAgent(
        "waiter",
        {
            "tea?": [
                Think("Looking"),
                Call(price, drink="tea"),
                Write("One tea is "),
                Write(lambda results: f"{results[0]:.2f}."),
            ],
            "milk?": [Call(price, drink="milk")],
            "help": [AskAgent("waiter", "tea?"), Write(lambda results: f"I heard: {results[0]}")],
            "later": [Sleep(3600), Write("It is later.")],
            "may I?": [
                Approve("May she?", expires=60),
                Write(lambda results: str(results[0].decision)),
            ],
            "fall": [Fail(ValueError("over"))],
        },
    )


def test_a_script_is_played_event_by_event(goldenpath_server: Serve) -> None:
    scripted = waiter()
    server = goldenpath_server(App(agents=[scripted]))
    answer = server.ask("ada", "tea?")
    assert (answer.status, answer.output) == ("succeeded", "One tea is 3.20.")
    assert [type(entry.body).__name__ for entry in answer.events] == [
        "MessageReceived", "AgentStarted", "AgentThinking", "ToolExecuting", "ToolCompleted",
        "AgentOutput", "AgentCompleted",
    ]  # fmt: skip
    again = server.ask("ada", "help", thread_id=answer.thread_id)
    assert again.thread_id == answer.thread_id
    assert again.output == "I heard: One tea is 3.20."
    assert scripted.received == ["tea?", "help", "tea?"]
    assert [one.name for one in scripted.tools] == ["price"]


@pytest.mark.parametrize(("message", "code"), [("fall", "agent_error"), ("milk?", "agent_error")])
def test_what_fails_fails_the_run(goldenpath_server: Serve, message: str, code: str) -> None:
    answer = goldenpath_server(App(agents=[waiter()])).ask("ada", message)
    assert answer.status == "failed" and answer.error is not None and answer.error.code == code


def test_a_message_without_a_script_fails(goldenpath_server: Serve) -> None:
    assert goldenpath_server(App(agents=[waiter()])).ask("ada", "what?").status == "failed"
    one = ScriptedAgent("one", [Write("always this")])
    assert goldenpath_server(App(agents=[one])).ask("ada", "anything").output == "always this"


def test_durable_waits_end_when_the_clock_says_so(goldenpath_server: Serve) -> None:
    """An hour's sleep and an approval's expiry, in moments; parked, and held in memory."""
    clock = FakeClock()
    server = goldenpath_server(App(agents=[waiter()], limit_park="10ms"), clock=clock)

    later, asked = server.start("ada", "later"), server.start("ada", "may I?")
    clock.advance(61)
    assert asked.result().output == "expired"
    clock.advance(3600 - 61)
    assert later.result().output == "It is later."
    with pytest.raises(ValueError, match="never back"):
        clock.advance(-1)


def test_a_restart_goes_on_with_what_waits(goldenpath_server: Serve) -> None:
    clock = FakeClock()
    server = goldenpath_server(App(agents=[waiter()]), clock=clock)
    url = server.url
    later = server.start("ada", "later")
    server.restart()
    clock.advance(3600)
    assert later.result().output == "It is later."
    assert server.url == url


def test_users_are_told_by_tokens_whatever_the_application_does(goldenpath_server: Serve) -> None:
    async def nobody(request: Any) -> None:
        return None

    server = goldenpath_server(App(agents=[waiter()], authenticate=nobody))
    assert server.ask("ada", "tea?").status == "succeeded"
    headers = {"Authorization": f"Bearer {server.token('bob')}"}
    assert httpx.get(f"{server.url}/v1/me", headers=headers).json()["user_id"] == "bob"
    assert httpx.get(f"{server.url}/v1/me").status_code == 401


def test_refusals_and_slow_answers_are_raised(goldenpath_server: Serve) -> None:
    server = goldenpath_server(App(agents=[waiter()]))
    with pytest.raises(RefusedError, match="unknown_agent"):
        server.ask("ada", "tea?", agent="cook")
    with pytest.raises(TimeoutError):
        server.ask("ada", "later", seconds=0.2)


def test_two_servers_at_once_and_what_cannot_start(goldenpath_server: Serve) -> None:
    first = goldenpath_server(App(agents=[waiter()]))
    second = goldenpath_server(App(agents=[waiter()]))
    assert first.url != second.url
    with pytest.raises(goldenpath.GoldenpathError, match="first"):
        goldenpath_server(App(agents=[waiter()], store="mysql://first"))


def test_names_are_there_and_others_are_not() -> None:
    for name in goldenpath.testing.__all__:
        assert getattr(goldenpath.testing, name).__module__.startswith("goldenpath.testing.")
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = goldenpath.testing.Nothing  # type: ignore[attr-defined]


@agent("plain")
async def plain(run: RunContext, message: str) -> str:
    return message


def test_a_server_outside_of_pytest() -> None:
    with AppServer(App(agents=[plain])) as server:
        assert server.ask("ada", "hello").output == "hello"
