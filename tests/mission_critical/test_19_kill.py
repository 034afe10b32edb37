"""Case 19: kill -9 at every kind of entry; nothing is lost, nothing done twice, nothing invented."""

import asyncio

import pytest

from tests.mission_critical.kit import (
    JSON,
    Device,
    Log,
    Server,
    check_run,
    eventually,
    new_id,
    pairs,
)

pytestmark = pytest.mark.anyio

QUICK, SECOND = "careful quick", "repeatable second"
ANSWER = f"I have {QUICK}; and then {SECOND}."
STAGES = ["started", "thinking", "in_tool", "in_repeatable", "tool_end", "mid_output", "before_end"]


async def view_equals_log(server: Server, tab: Device) -> None:
    """What the returning client has is what one sees who reads it all now."""
    await tab.fence()
    async with Device(server, tab.user) as fresh:
        await fresh.fence()
        assert fresh.log.events == tab.log.events
        assert fresh.log.cursor == tab.log.cursor
    assert tab.log.resets == 0


def judge(server: Server, tab: Device, run_id: str, stage: str, how: str) -> None:
    """The run went on from its journal."""
    events = tab.log.of(run_id)
    check_run(events)
    end = events[-1]["data"]
    assert end["status"] == "succeeded", end
    calls = {done["tool"]: done for _, done in pairs(events) if done["tool"] == "careful"}
    entered = server.effects("careful")
    if stage == "in_tool":
        # It may have run, or not: said, and not called again.
        assert calls["careful"]["status"] == "interrupted"
        assert end["output"] == f"I have [interrupted]; and then {SECOND}."
        assert len(entered) == 1
    elif stage == "in_repeatable":
        label = f"{how}-repeatable"
        assert end["output"] == f"I have repeatable {label}; and then {SECOND}."
        ids = [e["call_id"] for e in server.effects("repeatable", label=label)]
        assert len(ids) == 2 and len(set(ids)) == 1, "called again with the same key"
    else:
        assert end["output"] == ANSWER
        assert calls["careful"]["status"] == "ok"
        assert len(entered) == 1, "a finished tool was called again"
    types = [e["type"] for e in events]
    assert types.count("agent_started") == types.count("agent_thinking") == 1
    assert types.count("agent_resumed") == 1
    resumed = next(e for e in events if e["type"] == "agent_resumed")
    assert resumed["data"] == {"attempt": 2, "reason": "crash"}
    assert len(server.effects("repeatable", label="second")) == 1


def deadly(text: str, agent: str) -> JSON:
    """A question whose answer may not come, since it ends the process."""
    return {"type": "send", "id": new_id(), "thread_id": None, "text": text, "agent": agent}


@pytest.mark.parametrize("stage", STAGES)
async def test_the_process_dies_right_there(mortal: Server, stage: str) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    frame = deadly(f"die {stage}", "staged")
    await tab.write(frame)
    await mortal.died()
    mortal.start()
    # Whether the answer came before the death or not: the same id is the same run.
    await tab.connect()
    sent = await tab.command(frame)
    assert sent["duplicate"]
    await tab.end(sent["run_id"])
    judge(mortal, tab, sent["run_id"], stage, "die")
    await view_equals_log(mortal, tab)
    await tab.close()


SEEN = {
    "started": ("agent_started", {}),
    "thinking": ("agent_thinking", {}),
    "in_tool": ("tool_executing", {"tool": "careful"}),
    "in_repeatable": ("tool_executing", {"tool": "repeatable"}),
    "tool_end": ("tool_completed", {"tool": "careful"}),
    "mid_output": ("agent_output", {}),
    "before_end": ("tool_completed", {"tool": "repeatable"}),
}


@pytest.mark.parametrize("stage", STAGES)
async def test_killed_from_outside_when_the_client_has_seen_it(mortal: Server, stage: str) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    sent = await tab.send(f"hold {stage}", agent="staged")
    type, data = SEEN[stage]
    await tab.event(type, sent["run_id"], **data)
    if stage.startswith("in_"):
        await eventually(lambda: mortal.effects(label=f"hold-{SEEN[stage][1]['tool']}"))
    else:
        await eventually(lambda: mortal.effects("reached"))
    mortal.restart()
    # With every tab closed: demand is durable.
    async with mortal.http("ada") as web:

        async def ended() -> bool:
            answer = await web.get(f"/v1/runs/{sent['run_id']}")
            return answer.json()["status"] == "succeeded"

        await eventually(ended)
    await tab.connect()
    await tab.end(sent["run_id"])
    judge(mortal, tab, sent["run_id"], stage, "hold")
    await view_equals_log(mortal, tab)
    await tab.close()


async def test_right_after_the_command_and_after_the_terminal(mortal: Server) -> None:
    """Commands whose answer never came are sent again by their ids, and happen once."""
    tab = Device(mortal, "ada")
    await tab.connect()
    ended, _ = await tab.ask("first", agent="plain")
    frames = [
        {"type": "send", "id": new_id(), "thread_id": None, "text": f"n{i}", "agent": "plain"}
        for i in range(40)
    ]
    for round in range(4):
        await tab.write_at_once(frames)
        await tab.answer(frames[round]["id"])
        mortal.restart()
        await tab.connect()
    for frame in frames:
        answer = await tab.command(dict(frame))
        assert (await tab.end(answer["run_id"]))["output"] == f"You said: {frame['text']}"
        check_run(tab.log.of(answer["run_id"]))
    assert tab.log.types(ended["run_id"])[-1] == "agent_completed"
    await view_equals_log(mortal, tab)
    said = [e["data"]["text"] for e in tab.log.events if e["type"] == "message_received"]
    assert sorted(said) == sorted(["first", *(f["text"] for f in frames)])
    await tab.close()


async def test_an_approval_given_is_not_asked_again(mortal: Server) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    sent = await tab.send("11", agent="asks")
    asked = await tab.event("approval_requested", sent["run_id"])
    mortal.restart()
    await tab.connect()
    await tab.decide(asked["data"]["approval_id"], "approve")
    assert (await tab.end(sent["run_id"]))["output"] == "moved 11"
    check_run(tab.log.of(sent["run_id"]))
    types = tab.log.types(sent["run_id"])
    assert types.count("approval_requested") == types.count("approval_resolved") == 1
    assert len(mortal.effects("transfer", amount=11)) == 1
    await view_equals_log(mortal, tab)
    await tab.close()


async def test_a_parent_and_its_child_go_on(mortal: Server) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    sent = await tab.send("hold-me", agent="guardian")
    await eventually(lambda: mortal.effects("repeatable", label="hold-child"))
    mortal.restart()
    await tab.connect()
    end = await tab.end(sent["run_id"])
    assert end["output"] == "guarded: child has repeatable hold-child"
    runs = {e["run_id"] for e in tab.log.events if e["type"] == "agent_started"}
    assert len(runs) == 2
    for run in runs:
        check_run(tab.log.of(run))
    await view_equals_log(mortal, tab)
    await tab.close()


async def test_an_agent_that_opted_out_of_replay_failed_honestly(mortal: Server) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    sent = await tab.send("never", agent="fragile")
    await tab.event("agent_output", sent["run_id"])
    mortal.restart()
    await tab.connect()
    end = await tab.end(sent["run_id"])
    assert (end["status"], end["error"]["code"]) == ("failed", "crashed")
    assert end["output"] == "fragile " and end["partial"]
    check_run(tab.log.of(sent["run_id"]))
    await tab.close()


async def test_an_open_tool_of_such_an_agent_ends_interrupted(mortal: Server) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    sent = await tab.send("hold-open", agent="fragile_tool")
    await eventually(lambda: mortal.effects("careful", label="hold-open"))
    mortal.restart()
    await tab.connect()
    end = await tab.end(sent["run_id"])
    assert (end["status"], end["error"]["code"]) == ("failed", "crashed")
    check_run(tab.log.of(sent["run_id"]))
    ((_, done),) = pairs(tab.log.of(sent["run_id"]))
    assert done["status"] == "interrupted"
    assert len(mortal.effects("careful")) == 1
    await tab.close()


async def test_a_poison_run_ends_crashed_and_a_hundred_innocent_ones_succeed(
    mortal: Server,
) -> None:
    tabs = [Device(mortal, f"innocent{i}") for i in range(10)]
    await asyncio.gather(*(tab.connect() for tab in tabs))
    # One run of each user is at work when the first death comes, nine more wait their turn.
    sent = [
        [
            await tab.send("fatal", agent="gated"),
            *[await tab.send(f"n{i}", agent="plain") for i in range(9)],
        ]
        for tab in tabs
    ]
    evil = Device(mortal, "evil")
    await evil.connect()
    drink = deadly("drink", "poison")
    await evil.write(drink)
    for death in range(3):
        await mortal.died()
        if death == 1:  # from now on whoever was at work each time goes on alone, one by one
            mortal.open_gate("fatal")
        mortal.start()
    await evil.connect()
    poison = await evil.command(drink)
    end = await evil.end(poison["run_id"])
    assert (end["status"], end["error"]["code"]) == ("failed", "crashed")
    check_run(evil.log.of(poison["run_id"]))
    assert len(mortal.effects("poison")) == 3
    _, after = await evil.ask("and now?", agent="plain")
    assert after["status"] == "succeeded"

    async def follow(tab: Device, runs: list[dict[str, object]]) -> None:
        await tab.connect()
        for one in runs:
            end = await tab.end(str(one["run_id"]))
            assert end["status"] == "succeeded", end
            check_run(tab.log.of(str(one["run_id"])))
        await view_equals_log(mortal, tab)
        await tab.close()

    await asyncio.gather(*(follow(tab, runs) for tab, runs in zip(tabs, sent, strict=True)))
    await evil.close()


async def test_many_kills_at_random_moments(mortal: Server) -> None:
    """A run with work all along, killed again and again, with one tab following."""
    tab = Device(mortal, "ada", log=Log("ada"))
    await tab.connect()
    runs = [(await tab.send("60 0.02", agent="story"))["run_id"] for _ in range(2)]
    for _ in range(2):
        before = tab.log.cursor or 0
        await tab.until(lambda n=before: (tab.log.cursor or 0) >= n + 12)
        mortal.restart()
        await tab.connect()
    for run in runs:
        end = await tab.end(run)
        assert end["status"] == "succeeded"
        assert end["output"] == "".join(f"piece {i:04}. " for i in range(60))
        check_run(tab.log.of(run))
    await view_equals_log(mortal, tab)
    await tab.close()
