"""Case 8: sockets are cut at any byte; whoever returns with mark and cursor has missed nothing."""

import random

import pytest
from websockets.exceptions import WebSocketException

from tests.mission_critical.kit import Cutter, Device, Log, Server, check_run, new_id, text_of

pytestmark = pytest.mark.anyio

CUTS = 200


async def test_two_hundred_cuts_lose_repeat_and_reorder_nothing(server: Server) -> None:
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    print(f"seed {seed}")
    async with Cutter(server) as network, Device(server, "ada") as starter:
        network.budget = lambda: chance.randrange(1, 12_000)
        tab = Device(server, "ada", port=network.port)
        runs: list[str] = []
        while network.cuts < CUTS:
            if all(starter.log.find("agent_completed", run) for run in runs):
                for _ in range(3):
                    runs.append((await starter.send("150 0.01", agent="story"))["run_id"])
            try:
                await tab.connect()
                while True:
                    await tab.read()
                    if chance.random() < 0.02:
                        await tab.cut()
                        network.cuts += 1
            except (WebSocketException, OSError, EOFError):
                pass
            await starter.fence()
        for run in runs:
            await starter.end(run)
        await starter.fence()
        network.budget = lambda: 1 << 60
        await tab.connect()
        await tab.fence()
        assert tab.log.events == starter.log.events
        assert tab.log.cursor == starter.log.cursor and tab.log.resets == 0
        for run in runs:
            check_run(tab.log.of(run))
            assert "agent_resumed" not in tab.log.types(run), "the run noticed"
            end = await tab.end(run)
            assert end["output"] == "".join(f"piece {i:04}. " for i in range(150))
        assert len(server.effects("lookup", query="tale")) == len(runs)
        await tab.close()
        async with Device(server, "ada") as fresh:
            await fresh.fence()
            assert fresh.log.events == tab.log.events


async def test_a_new_tab_in_mid_answer_shows_the_whole_text(server: Server) -> None:
    async with Device(server, "bob") as tab:
        name = new_id()
        sent = await tab.send(name, agent="gated")
        await tab.event("agent_output", sent["run_id"])
        history = await server.history("bob", sent["thread_id"])
        (run,) = history["open_runs"]
        assert run["run_id"] == sent["run_id"]
        seen = {part["part_id"]: part["text"] for part in run["parts"]}
        assert seen and "".join(seen.values()) == "before "
        later = Log("bob", history["as_of"], history["mark"])
        async with Device(server, "bob", log=later) as new_tab:
            server.open_gate(name)
            end = await new_tab.end(sent["run_id"])
            for event in later.of(sent["run_id"]):
                if event["type"] == "agent_output":
                    held = seen.get(event["data"]["part_id"], "")
                    assert event["data"]["offset"] == len(held)
                    seen[event["data"]["part_id"]] = held + event["data"]["text"]
            assert "".join(seen.values()) == end["output"] == "before after"
        await tab.end(sent["run_id"])
        assert text_of(tab.log.of(sent["run_id"])) == "before after"


async def test_a_position_that_is_not_of_this_log_is_reset(server: Server) -> None:
    async with Device(server, "cyd") as tab:
        await tab.ask("x", agent="plain")
        await tab.fence()
        head, mark = tab.log.cursor, tab.log.mark
        assert head is not None
    for cursor, known in ((head + 1000, mark), (head, "nonsense"), (head, "0")):
        log = Log("cyd", cursor, known)
        stranger = Device(server, "cyd", log=log)
        welcome = await stranger.connect()
        assert welcome["reset"] and welcome["cursor"] == welcome["head"] == head
        assert welcome["mark"] == mark
        await stranger.close()
    async with server.http("cyd") as web:
        answer = await web.get("/v1/events", params={"after": 5})
        assert answer.status_code == 422


async def test_a_restored_backup_is_reset_and_goes_on(mortal: Server) -> None:
    async with Device(mortal, "ada") as tab:
        first, _ = await tab.ask("kept", agent="plain")
        await tab.fence()
        old = Log("ada", tab.log.cursor, tab.log.mark)
        done = mortal.command("backup", "copy.db", "--store", mortal.store_url)
        assert done.returncode == 0, done.stderr
        for _ in range(3):
            await tab.ask("lost", agent="plain")
        await tab.fence()
    mortal.stop()
    done = mortal.command("restore", "copy.db", "--replace", "--store", mortal.store_url)
    assert done.returncode == 0, done.stderr
    mortal.start()
    welcome = await tab.connect()
    assert welcome["reset"], "a cursor of entries that are lost was believed"
    history = await mortal.history("ada", first["thread_id"])
    assert [m["text"] for m in history["items"]] == ["kept", "You said: kept"]
    await tab.ask("new", agent="plain")
    await tab.close()
    # The old position is of both logs.
    async with Device(mortal, "ada", log=old) as back:
        assert old.resets == 0
        await back.fence()
        assert [e["data"]["text"] for e in old.events if e["type"] == "message_received"] == ["new"]


async def test_a_wiped_store_is_reset_and_commands_may_be_sent_again(mortal: Server) -> None:
    async with Device(mortal, "ada") as tab:
        frame = {"type": "send", "id": new_id(), "thread_id": None, "text": "x", "agent": "plain"}
        first = await tab.command(dict(frame))
        await tab.end(first["run_id"])
        await tab.fence()
    mortal.stop()
    mortal.place.wipe()
    mortal.start()
    welcome = await tab.connect()
    assert welcome["reset"] and welcome["cursor"] == welcome["head"] == 0
    again = await tab.command(dict(frame))
    assert not again["duplicate"] and again["run_id"] != first["run_id"]
    assert (await tab.end(again["run_id"]))["status"] == "succeeded"
    await tab.close()
