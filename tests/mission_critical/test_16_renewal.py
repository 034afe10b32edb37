"""Case 16: a token ends in the middle of a run."""

import pytest

from tests.mission_critical.kit import Device, Server, check_run, new_id, token

pytestmark = pytest.mark.anyio


async def test_renewed_in_band_nothing_is_missed(server: Server) -> None:
    async with Device(server, "ada", bearer=token("ada", ttl=2)) as tab:
        gate = new_id()
        sent = await tab.send(gate, agent="gated")
        await tab.event("agent_output", sent["run_id"])
        await tab.write({"type": "renew", "token": token("ada", ttl=600)})
        await tab.until(lambda: any(f["type"] == "renewed" for f in tab.order))
        # Until after the first token's end: another socket with the same end is closed.
        async with Device(server, "ada", bearer=token("ada", ttl=1)) as witness:
            assert await witness.until_closed() == 4401
        server.open_gate(gate)
        end = await tab.end(sent["run_id"])
        assert end["output"] == "before after" and tab.close_code is None
        check_run(tab.log.of(sent["run_id"]))


async def test_not_renewed_goodbye_and_the_run_goes_on(server: Server) -> None:
    tab = Device(server, "bob", bearer=token("bob", ttl=2))
    await tab.connect()
    gate = new_id()
    sent = await tab.send(gate, agent="gated")
    await tab.event("agent_output", sent["run_id"])
    assert await tab.until_closed() == 4401
    assert tab.goodbye is not None and tab.goodbye["code"] == "token_ended" and tab.goodbye["retry"]
    server.open_gate(gate)
    tab.bearer = token("bob", ttl=600)
    await tab.connect()
    assert (await tab.end(sent["run_id"]))["output"] == "before after"
    check_run(tab.log.of(sent["run_id"]))
    assert "agent_resumed" not in tab.log.types(sent["run_id"]) and tab.log.resets == 0
    await tab.close()


async def test_only_by_the_same_user_and_with_a_good_token(server: Server) -> None:
    async with Device(server, "cyd") as tab:
        for bad in (token("mallory"), token("cyd", ttl=-5), "rubbish"):
            before = len(tab.order)
            await tab.write({"type": "renew", "token": bad})
            await tab.until(lambda n=before: len(tab.order) > n)
            assert tab.order[-1]["type"] == "refused" and tab.order[-1]["id"] is None
            assert tab.order[-1]["error"]["code"] in ("forbidden", "unauthenticated")
        _, end = await tab.ask("still me", agent="plain")
        assert end["status"] == "succeeded"
