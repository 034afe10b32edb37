"""One WebSocket: reading, commands in order, refusals, tokens, and every way in which it ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from goldenpath.engine.limits import Limits
from goldenpath.model.commands import CreateThread
from goldenpath.model.ids import CommandId, DeviceId, UserId
from goldenpath.testing.memory_disk import Disk
from tests.server.kit import BOUND, Peer, ShortLived, Site, position_of, token
from tests.server.kit import site as running_site

pytestmark = pytest.mark.anyio
ADA = UserId("ada")


async def test_a_message_leads_to_an_answer_and_its_events_in_order(site: Site) -> None:
    async with site.tab() as tab:
        tab.put(type="send", id="c1", text="hello", thread_id=None)
        accepted = await tab.answer("accepted")
        await tab.event("agent_completed", accepted["run_id"])
    assert set(accepted) == {
        *("type", "id", "thread_id", "message_id", "run_id", "seq", "duplicate")
    }
    assert (accepted["id"], accepted["duplicate"]) == ("c1", False)
    seqs = [event["seq"] for event in tab.events]
    assert seqs == sorted(set(seqs))
    assert accepted["seq"] == seqs[0]
    assert tab.events[-1]["data"]["output"] == "you said: hello"
    assert {event["run_id"] for event in tab.events[1:]} == {accepted["run_id"]}


async def test_welcome_says_who_and_where_and_what_is_allowed(site: Site) -> None:
    async with site.peer() as peer:
        welcome = await peer.hello(cursor=None)
    assert welcome == {
        "type": "welcome",
        "user_id": "ada",
        "mark": "0",
        "head": 0,
        "cursor": 0,
        "reset": False,
        "limits": welcome["limits"],
        "agents": [
            {
                "name": "echo",
                "description": "Says it again.",
                "version": welcome["agents"][0]["version"],
            },
            *welcome["agents"][1:],
        ],
        "version": welcome["version"],
    }
    assert welcome["limits"]["frame_bytes"] == 256 * 1024
    assert [a["name"] for a in welcome["agents"]] == ["echo", "gated", "asks"]


async def test_who_comes_back_with_its_cursor_gets_the_rest_and_no_more(site: Site) -> None:
    async with site.tab(cursor=0) as first:
        first.put(type="send", id="c1", text="one")
        await first.event("agent_completed")
    await site.ask("two")
    async with site.peer() as again:
        welcome = await again.hello(cursor=first.cursor, mark=first.mark)
        assert (welcome["cursor"], welcome["reset"]) == (first.cursor, False)
        assert welcome["head"] > first.cursor
        await again.event("agent_completed")
    seqs = [event["seq"] for event in first.events + again.events]
    assert seqs == sorted(set(seqs))


@pytest.mark.parametrize("offset", [0, 1000])
async def test_a_position_of_another_log_is_reset_to_the_head(site: Site, offset: int) -> None:
    """A mark that nobody knows, and a cursor from the future."""
    await site.ask("one")
    head = await site.store.head(ADA)
    mark = head.mark if offset else "unknown"
    async with site.peer() as peer:
        welcome = await peer.hello(cursor=head.cursor + offset, mark=mark)
        assert welcome["reset"] is True
        assert (welcome["cursor"], welcome["mark"]) == (head.cursor, head.mark)
        peer.put(type="ping", id="p")
        assert await peer.answer("pong") == {"type": "pong", "id": "p"}


async def test_a_log_that_is_replaced_under_an_open_socket_is_told(site: Site) -> None:
    async with site.tab() as tab:
        site.store.replaced = True
        site.store.wake("ada")
        goodbye = await tab.answer("goodbye")
        assert (goodbye["code"], goodbye["retry"]) == ("reset", True)
        assert await tab.closed() == 1001


async def test_commands_may_follow_hello_at_once_and_are_answered_in_order(site: Site) -> None:
    async with site.peer() as peer:
        peer.put(type="hello", device="d", cursor=None)
        for number in range(200):
            peer.put(type="send", id=f"c{number}", text="x" * (number % 7 + 1))
        await peer.answer("welcome")
        answers = [await peer.answer("accepted", "refused") for _ in range(200)]
    assert [answer["id"] for answer in answers] == [f"c{number}" for number in range(200)]
    accepted = [a["seq"] for a in answers if a["type"] == "accepted"]
    assert accepted == sorted(accepted)
    refused = {a["error"]["code"] for a in answers if a["type"] == "refused"}
    assert refused <= {"queue_full"}


async def test_commands_do_not_wait_for_the_answers_of_those_before_them(site: Site) -> None:
    """So that what came in one write is durable in a few commits, not in one for each."""
    async with site.tab() as tab:
        for number in range(20):
            tab.put(type="send", id=f"c{number}", text="x", agent="gated")
        await tab.answer("accepted")
        assert site.store.calls["submit"] == 20


async def test_one_id_on_two_sockets_is_one_command(site: Site) -> None:
    async with site.tab() as one, site.tab(device="other") as two:
        for tab in (one, two):
            tab.put(type="send", id="same", text="hello")
        answers = [await tab.answer("accepted") for tab in (one, two)]
        assert {a["run_id"] for a in answers} == {answers[0]["run_id"]}
        assert sorted(a["duplicate"] for a in answers) == [False, True]
        two.put(type="send", id="same", text="another")
        refused = await two.answer("refused")
        assert (refused["id"], refused["error"]["code"]) == ("same", "id_reused")
        await one.event("agent_completed")
        await two.event("agent_completed")
        assert one.events == two.events


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ({"type": "send", "id": "c", "text": "x", "agent": "nobody"}, "unknown_agent"),
        ({"type": "send", "id": "c", "text": "x", "thread_id": "none"}, "not_found"),
        ({"type": "send", "id": "c", "text": "x" * 70_000}, "too_large"),
        ({"type": "send", "id": "c", "text": "x", "attachments": ["a"]}, "invalid_field"),
        ({"type": "send", "id": "c"}, "invalid_field"),
        ({"type": "cancel", "id": "c", "run_id": "none"}, "not_found"),
        ({"type": "decide", "id": "c", "approval_id": "x", "decision": "deny"}, "not_found"),
        ({"type": "accepted", "id": "c"}, "unknown_type"),
    ],
)
async def test_what_cannot_be_done_is_refused_with_its_id_and_the_socket_stays(
    site: Site, frame: dict[str, Any], code: str
) -> None:
    async with site.tab() as tab:
        tab.put(**frame)
        refused = await tab.answer("refused")
        assert (refused["id"], refused["error"]["code"]) == ("c", code)
        assert set(refused["error"]) == {"code", "message", "retryable"}
        tab.put(type="ping", id="still")
        assert (await tab.answer("pong"))["id"] == "still"


@pytest.mark.parametrize("text", ["{", "[" * 200_000, '{"type":"ping","id":"\\ud800"}', "5", "{}"])
async def test_what_is_no_frame_is_refused_without_an_id(site: Site, text: str) -> None:
    async with site.tab() as tab:
        tab.put_text(text)
        refused = await tab.answer("refused")
        assert refused["id"] is None
        assert refused["error"]["code"] in ("invalid_json", "invalid_field")
        tab.put_bytes(b"\x00")
        assert (await tab.answer("refused"))["error"]["code"] == "invalid_json"
        tab.put(type="ping", id="still")
        await tab.answer("pong")


@pytest.mark.parametrize("text", ["{", '{"type":"ping","id":"p"}', '{"type":"hello","cursor":3}'])
async def test_anything_before_hello_closes_with_4400(site: Site, text: str) -> None:
    async with site.peer() as peer:
        peer.put_text(text)
        peer.put(type="hello", device="d")
        assert await peer.closed() == 4400


async def test_a_frame_over_the_limit_closes_with_1009(site: Site) -> None:
    """Where the server before us does not do it already. The limit counts bytes."""
    async with site.tab() as tab:
        tab.put_text(json.dumps({"type": "ping", "id": "ü" * 140_000}, ensure_ascii=False))
        assert await tab.closed() == 1009


async def test_too_many_frames_close_with_4429() -> None:
    async with running_site(frames_per_minute=20) as site, site.tab() as tab:
        for number in range(40):
            tab.put(type="ping", id=f"p{number}")
        goodbye = await tab.answer("goodbye")
        assert (goodbye["code"], goodbye["retry"]) == ("too_many_frames", True)
        assert await tab.closed() == 4429


async def test_too_many_commands_are_refused_and_the_socket_stays() -> None:
    async with running_site(limits=Limits(commands_per_minute=5)) as site, site.tab() as tab:
        for number in range(8):
            tab.put(type="cancel", id=f"c{number}", run_id="none")
        answers = [await tab.answer("refused") for _ in range(8)]
        codes = [answer["error"]["code"] for answer in answers]
        assert codes == ["not_found"] * 5 + ["rate_limited"] * 3
        assert [answer["error"]["retryable"] for answer in answers] == [False] * 5 + [True] * 3


async def test_a_token_that_ends_says_goodbye_and_4401_and_the_run_goes_on() -> None:
    async with running_site(auth=ShortLived()) as site, site.peer(bearer="ada:0.2") as peer:
        await peer.hello()
        peer.put(type="send", id="c", text="x", agent="gated")
        accepted = await peer.answer("accepted")
        assert (await peer.answer("goodbye"))["code"] == "token_ended"
        assert await peer.closed() == 4401
        site.gate.set()
        async with site.peer(bearer="ada:60") as again:
            await again.hello(cursor=peer.cursor, mark=peer.mark)
            completed = await again.event("agent_completed", accepted["run_id"])
            assert completed["data"]["output"] == "began ended"


async def test_a_token_is_renewed_in_band_by_the_same_user() -> None:
    async with running_site(auth=ShortLived()) as site, site.peer(bearer="ada:0.2") as peer:
        await peer.hello()
        peer.put(type="renew", token="ada:0.4")
        assert await peer.answer("renewed") == {"type": "renewed"}
        peer.put(type="renew", token="ada:60")
        await peer.answer("renewed")
        peer.put(type="send", id="c", text="x")
        await peer.event("agent_completed")
        assert not peer.other or peer.other[0]["type"] == "accepted"


async def test_a_bad_token_or_another_users_does_not_renew(site: Site) -> None:
    async with site.tab() as tab:
        tab.put(type="renew", token="nonsense")
        refused = await tab.answer("refused")
        assert (refused["id"], refused["error"]["code"]) == (None, "unauthenticated")
        tab.put(type="renew", token=token("bob"))
        assert (await tab.answer("refused"))["error"]["code"] == "forbidden"
        tab.put(type="renew", token=token("ada"))
        await tab.answer("renewed")


async def test_an_ack_of_an_answer_is_written_at_once() -> None:
    async with running_site(ack_seconds=3600) as site:
        async with site.tab(device="phone") as tab:
            tab.put(type="send", id="c", text="x")
            await tab.event("agent_completed")
            assert len(await site.store.undelivered()) == 1
            tab.put(type="ack", cursor=tab.cursor)
            tab.put(type="ping", id="p")
            await tab.answer("pong")
            async with asyncio.timeout(BOUND):
                while await site.store.undelivered():
                    await asyncio.sleep(0)
            acks = site.store.inner.disk.user(ADA).acks  # type: ignore[attr-defined]
            assert acks == {DeviceId("phone"): tab.cursor}
        assert site.counting.delivered == 1


async def test_other_acks_are_written_together_and_when_the_socket_ends(site: Site) -> None:
    async with site.tab(device="phone", cursor=0) as tab:
        tab.put(type="send", id="c", text="x", agent="gated")
        await tab.event("agent_output")
        for cursor in range(tab.cursor + 1):
            tab.put(type="ack", cursor=cursor)
        tab.put(type="ack", cursor=tab.cursor + 1)
        refused = await tab.answer("refused")
        assert (refused["id"], refused["error"]["code"]) == (None, "invalid_field")
        assert site.store.inner.disk.user(ADA).acks == {}  # type: ignore[attr-defined]
    assert site.store.inner.disk.user(ADA).acks == {DeviceId("phone"): tab.cursor}  # type: ignore[attr-defined]


async def test_an_ack_is_written_after_a_while_though_none_follows() -> None:
    async with running_site(ack_seconds=0.01) as site, site.tab(device="phone", cursor=0) as tab:
        tab.put(type="send", id="c", text="x", agent="gated")
        await tab.event("agent_output")
        tab.put(type="ack", cursor=tab.cursor)
        acks = site.store.inner.disk.user(ADA).acks  # type: ignore[attr-defined]
        async with asyncio.timeout(10):
            while not acks:
                await asyncio.sleep(0.01)
        assert acks == {DeviceId("phone"): tab.cursor}


async def test_a_store_that_stays_away_says_goodbye_and_1001(site: Site) -> None:
    async with site.tab() as tab:
        site.store.away.update(("read", "submit"))
        tab.put(type="send", id="c", text="x")
        refused = await tab.answer("refused")
        assert (refused["error"]["code"], refused["error"]["retryable"]) == ("unavailable", True)
        site.store.wake("ada")
        goodbye = await tab.answer("goodbye")
        assert (goodbye["code"], goodbye["retry"]) == ("unavailable", True)
        assert await tab.closed() == 1001


async def test_a_store_that_comes_back_in_time_is_no_reason_to_leave() -> None:
    async with running_site(unavailable_seconds=30.0) as site, site.tab() as tab:
        site.store.away.add("read")
        tab.put(type="send", id="c", text="x")
        await tab.answer("accepted")
        site.store.away.clear()
        await tab.event("agent_completed")


async def test_shutting_down_says_goodbye_last_and_1001(site: Site) -> None:
    async with site.tab(cursor=0) as tab, site.tab(cursor=0) as slow:
        slow.stall()
        tab.put(type="send", id="c", text="x", agent="gated")
        await tab.event("agent_output")
        await site.server.goodbye()
        goodbye = await tab.answer("goodbye")
        assert (goodbye["code"], goodbye["retry"]) == ("shutting_down", True)
        assert await tab.closed() == 1001
        site.gate.set()


async def test_nothing_follows_a_goodbye_though_more_was_there_to_read(site: Site) -> None:
    async with site.tab(cursor=0) as tab:
        site.store.reading.clear()
        await site.host.submit(ADA, CommandId("t"), CreateThread())
        await site.server.goodbye()
        site.store.reading.set()
        assert await tab.closed() == 1001
        assert tab.last is not None
        assert tab.last["type"] == "goodbye"
    assert await tab.rest() == []


async def test_a_reader_that_reads_nothing_slows_nobody_and_catches_up(site: Site) -> None:
    async with site.tab(cursor=0) as quick, site.tab(cursor=0) as slow:
        slow.stall()
        for number in range(10):
            quick.put(type="send", id=f"c{number}", text="x" * 1000)
            accepted = await quick.answer("accepted")
            await quick.event("agent_completed", accepted["run_id"])
        slow.resume()
        await slow.event("agent_completed", accepted["run_id"])
        while slow.cursor < quick.cursor:
            await slow.frame()
        assert slow.events == quick.events


async def test_events_of_others_never_come(site: Site) -> None:
    async with site.tab("ada", cursor=0) as ada, site.tab("bob", cursor=0) as bob:
        ada.put(type="send", id="same", text="secret-of-ada")
        bob.put(type="send", id="same", text="secret-of-bob")
        runs = {tab: (await tab.answer("accepted"))["run_id"] for tab in (ada, bob)}
        for tab in (ada, bob):
            await tab.event("agent_completed", runs[tab])
        bob.put(type="cancel", id="c", run_id=runs[ada])
        assert (await bob.answer("refused"))["error"]["code"] == "not_found"
    assert "secret-of-ada" not in str(bob.events)
    assert "secret-of-bob" not in str(ada.events)


async def test_the_log_outlives_the_server() -> None:
    disk = Disk()
    async with running_site(disk=disk) as site, site.tab(cursor=0) as tab:
        tab.put(type="send", id="c", text="x")
        await tab.event("agent_completed")
    async with running_site(disk=disk) as site:
        async with site.tab(cursor=tab.cursor, mark=tab.mark) as again:
            again.put(type="send", id="c", text="x")
            assert (await again.answer("accepted"))["duplicate"] is True
            again.put(type="send", id="d", text="y")
            await again.event("agent_completed")
        assert position_of(again) == await site.store.head(ADA)


async def test_a_lost_connection_leaves_nothing_behind(site: Site) -> None:
    before = len(asyncio.all_tasks())
    peers: list[Peer] = []
    for number in range(10):
        async with site.tab(device=f"d{number}") as peer:
            peer.put(type="send", id=f"c{number}", text="x", agent="gated")
            peers.append(peer)
    assert site.counting.open_sockets == 0
    site.gate.set()
    async with site.tab() as tab:
        tab.put(type="send", id="last", text="x")
        await tab.event("agent_completed", (await tab.answer("accepted"))["run_id"])
    left = {t.get_name() for t in asyncio.all_tasks() if not t.get_name().startswith("goldenpath-")}
    assert len(left) <= before
