"""Case 21: what was erased is in no file, no replay and no search; the numbers still add up."""

import pytest

from tests.mission_critical.kit import Device, Log, Server, eventually, new_id, pairs

pytestmark = pytest.mark.anyio


async def fill(tab: Device, word: str) -> str:
    """A thread whose every kind of text holds the word; its id."""
    sent, _ = await tab.ask(f"question {word}", agent="confidential")
    thread = sent["thread_id"]
    await tab.ask(f"FAIL {word}", thread_id=thread)
    asked = await tab.send(word, thread_id=thread, agent="confides")
    approval = await tab.event("approval_requested", asked["run_id"])
    await tab.decide(approval["data"]["approval_id"], "deny", f"because {word}")
    await tab.end(asked["run_id"])
    assert pairs(tab.log.events)
    return thread


async def gone_from_files(server: Server, word: str) -> None:
    """A stop compacts what is settled by then; an erasure that a stop cut short goes on."""

    async def gone() -> bool:
        server.stop()
        if not server.place.compacts:
            done = server.command("compact", "--store", server.store_url)
            assert done.returncode == 0, done.stderr
        found = server.files_hold(word)
        server.start()
        return not found

    await eventually(gone, f"{word} stays in files of the store")


async def test_a_deleted_thread_leaves_nothing(mortal: Server) -> None:
    secret, kept = f"SECRETWORD{new_id()}", f"KEPTWORD{new_id()}"
    async with Device(mortal, "ada") as tab, Device(mortal, "bob") as other:
        thread = await fill(tab, secret)
        stays = await fill(tab, kept)
        neighbour = await fill(other, f"NEIGHBOUR{new_id()}")
        await tab.fence()
        old = Log("ada", 3, None)
        old.mark = tab.log.mark
        assert mortal.files_hold(secret), "the test looks at the wrong files"
        async with mortal.http("ada") as web:
            assert (await web.get("/v1/search", params={"q": secret})).json()["items"]
            answer = await web.delete(f"/v1/threads/{thread}")
            assert answer.status_code == 204, answer.text
            await tab.event("thread_deleted")
            # Whoever has read it all goes on without a gap; whoever comes anew sees none of it.
            assert (await web.get(f"/v1/threads/{thread}")).status_code == 404
            assert (await web.get(f"/v1/threads/{thread}/messages")).status_code == 404
            assert (await web.get("/v1/search", params={"q": secret})).json()["items"] == []
            listed = [t["thread_id"] for t in (await web.get("/v1/threads")).json()["items"]]
            assert listed == [stays]
        for run in {e["run_id"] for e in tab.log.events if e["thread_id"] == thread}:
            if run is not None:
                async with mortal.http("ada") as web:
                    assert (await web.get(f"/v1/runs/{run}")).status_code == 404
        for log in (Log("ada"), old):
            async with Device(mortal, "ada", log=log) as fresh:
                # The device's own arithmetic: to - from == len(events) + hidden, in each frame.
                log._from_origin = False  # the erased thread's creation is gone, too
                await fresh.fence()
                assert secret not in str(log.events) and log.cursor == tab.log.cursor
                assert log.hidden > 0 and log.resets == 0
        assert (await mortal.history("ada", stays))["items"]
        _, end = await tab.ask("goes on", thread_id=stays, agent="confidential")
        assert kept in end["output"] and end["status"] == "succeeded"
    mortal.stop()
    done = mortal.command("log", "ada", "--internal", "--reveal", "--store", mortal.store_url)
    assert secret not in done.stdout and kept in done.stdout
    mortal.start()
    await gone_from_files(mortal, secret)
    assert mortal.files_hold(kept)
    assert (await mortal.history("bob", neighbour))["items"]
    assert secret not in mortal.log_text()


async def test_a_thread_is_deleted_while_its_run_is_at_work(mortal: Server) -> None:
    secret = f"SECRETWORD{new_id()}"
    async with Device(mortal, "ada") as tab:
        sent = await tab.send(secret, agent="endless_tool")
        await eventually(lambda: mortal.effects("endless_began", label=secret))
        async with mortal.http("ada") as web:
            answer = await web.delete(f"/v1/threads/{sent['thread_id']}")
            assert answer.status_code == 204
        await eventually(lambda: mortal.effects("endless_cancelled", label=secret))
        await tab.event("thread_deleted")
        _, end = await tab.ask("on", agent="plain")
        assert end["status"] == "succeeded"
    await gone_from_files(mortal, secret)


@pytest.mark.parametrize("how", ["by HTTP", "by the CLI"])
async def test_a_forgotten_user_leaves_nothing(mortal: Server, how: str) -> None:
    secret, neighbour = f"SECRETWORD{new_id()}", f"NEIGHBOUR{new_id()}"
    async with Device(mortal, "bob") as other:
        thread = await fill(other, neighbour)
    tab = Device(mortal, "ada")
    await tab.connect()
    await fill(tab, secret)
    at_work = await tab.send(secret, agent="endless_tool")
    await eventually(lambda: mortal.effects("endless_began", label=secret))
    await tab.fence()
    old = Log("ada", tab.log.cursor, tab.log.mark)
    if how == "by HTTP":
        async with mortal.http("ada") as web:
            answer = await web.delete("/v1/me")
            assert answer.status_code == 204, answer.text
        await eventually(lambda: mortal.effects("endless_cancelled", label=secret))
        # The open tab is not left behind: it reads on, from where it is.
        await tab.fence()
        assert tab.log.resets == 0
        await tab.close()
    else:
        mortal.stop()
        done = mortal.command("forget", "ada", "--store", mortal.store_url)
        assert done.returncode == 0, done.stderr
        if mortal.place.compacts:
            assert not mortal.files_hold(secret), "after `forget` nothing is left"
        mortal.start()
    async with mortal.http("ada") as web:
        assert (await web.get("/v1/threads")).json()["items"] == []
        assert (await web.get("/v1/search", params={"q": secret})).json()["items"] == []
        assert (await web.get(f"/v1/runs/{at_work['run_id']}")).status_code == 404
    for log in (Log("ada"), old):
        async with Device(mortal, "ada", log=log) as fresh:
            await fresh.fence()
            assert secret not in str(log.events)
            assert not [e for e in log.events if e["type"] == "message_received"]
    async with Device(mortal, "ada") as again:
        again.log._from_origin = False
        _, end = await again.ask("a new life", agent="plain")
        assert end["status"] == "succeeded"
    assert neighbour in str(await mortal.history("bob", thread))
    await gone_from_files(mortal, secret)
    assert mortal.files_hold(neighbour)
    assert secret not in mortal.log_text()
