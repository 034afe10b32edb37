"""Case 9: return by SSE, with another token, after the server was started anew."""

import json

import pytest

from tests.mission_critical.kit import Device, Log, Server, Stream, check_run, new_id, token

pytestmark = pytest.mark.anyio


async def test_from_the_socket_to_the_stream_and_back(server: Server) -> None:
    async with Device(server, "ada") as watcher:
        gate = new_id()
        tab = Device(server, "ada")
        await tab.connect()
        sent = await tab.send(gate, agent="gated")
        await tab.event("agent_output", sent["run_id"])
        await tab.cut()
        stream = Stream(server, "ada", tab.log)
        server.open_gate(gate)
        await stream.until(lambda: tab.log.find("agent_completed", sent["run_id"]))
        second = await watcher.send("30 0.01", agent="story")
        # By the header that a browser's EventSource sends, then by the socket again.
        await stream.until(lambda: tab.log.find("agent_output", second["run_id"]), header=True)
        await tab.connect()
        await tab.end(second["run_id"])
        await watcher.end(second["run_id"])
        await watcher.fence()
        await tab.fence()
        assert tab.log.events == watcher.log.events and tab.log.resets == 0
        await tab.close()


async def test_the_stream_has_only_ids_and_data_and_resets_like_the_socket(
    server: Server,
) -> None:
    async with Device(server, "bob") as tab:
        await tab.ask("x", agent="plain")
        await tab.fence()
        stream = Stream(server, "bob", Log("bob", 99_999, tab.log.mark))
        await stream.until(lambda: stream.welcomed)
        assert stream.welcomed is not None and stream.welcomed["reset"]
        from_head = Stream(server, "bob", Log("bob", None))
        await from_head.until(lambda: from_head.welcomed)
        assert from_head.log.cursor == tab.log.cursor and not from_head.log.resets


async def test_with_another_token_of_the_same_user(server: Server) -> None:
    tab = Device(server, "cyd", bearer=token("cyd", ttl=600, jti="one"))
    await tab.connect()
    gate = new_id()
    sent = await tab.send(gate, agent="gated")
    await tab.event("agent_output", sent["run_id"])
    await tab.cut()
    tab.bearer = token("cyd", ttl=900, jti="two")
    server.open_gate(gate)
    await tab.connect()
    assert (await tab.end(sent["run_id"]))["output"] == "before after"
    check_run(tab.log.of(sent["run_id"]))
    assert tab.log.resets == 0
    await tab.close()


@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_after_the_server_was_started_anew(mortal: Server, how: str) -> None:
    tab = Device(mortal, "ada")
    await tab.connect()
    ended, _ = await tab.ask("old", agent="plain")
    sent = await tab.send("door", agent="gated")
    await tab.event("agent_output", sent["run_id"])
    if how == "stop":
        mortal.stop()
        assert await tab.until_closed() == 1001
        assert tab.goodbye is not None and tab.goodbye["retry"]
    else:
        mortal.kill()
    # Only a process that was stopped could still write that its run is to go on.
    status = "resuming" if how == "stop" else "running"
    listed = mortal.command("runs", "--status", status, "--json", "--store", mortal.store_url)
    assert json.loads(listed.stdout)["run_id"] == sent["run_id"]
    mortal.start()
    mortal.open_gate("door")
    await tab.connect()
    assert (await tab.end(sent["run_id"]))["output"] == "before after"
    check_run(tab.log.of(sent["run_id"]))
    assert tab.log.resets == 0
    resumed = tab.log.find("agent_resumed", sent["run_id"])
    assert resumed is not None
    assert resumed["data"]["reason"] == ("shutdown" if how == "stop" else "crash")
    await tab.fence()
    async with Device(mortal, "ada") as fresh:
        await fresh.fence()
        assert fresh.log.events == tab.log.events
    # The same return by SSE, from before the restart.
    stream = Stream(mortal, "ada")
    await stream.until(lambda: stream.log.find("agent_completed", sent["run_id"]))
    assert stream.log.events == tab.log.events
    assert (await mortal.run("ada", ended["run_id"]))["output"] == "You said: old"
    await tab.close()
