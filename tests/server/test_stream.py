"""Server-Sent Events: the same frames, framed exactly, from where the reader says it is."""

from __future__ import annotations

import pytest

from goldenpath.engine.limits import Limits
from goldenpath.model.ids import UserId
from tests.server.kit import ShortLived, Site, Stream
from tests.server.kit import site as running_site

pytestmark = pytest.mark.anyio
ADA = UserId("ada")


async def test_welcome_is_first_and_every_id_is_a_position(site: Site) -> None:
    await site.ask("one")
    head = await site.store.head(ADA)
    async with Stream(site.server, after=0) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        position, welcome = await stream.frame()
        assert (position, welcome["type"], welcome["cursor"]) == ("0:0", "welcome", 0)
        assert welcome["head"] == head.cursor
        position, frame = await stream.until("agent_completed")
        assert position == f"{frame['mark']}:{frame['to']}"
        assert frame["to"] - frame["from"] == len(frame["events"]) + frame["hidden"]
        await site.ask("two")
        later = await stream.until("agent_completed")
    assert later[1]["from"] >= frame["to"]


async def test_without_a_position_reading_begins_at_the_head(site: Site) -> None:
    await site.ask("one")
    head = await site.store.head(ADA)
    async with Stream(site.server) as stream:
        position, welcome = await stream.frame()
    assert position == f"{head.mark}:{head.cursor}"
    assert (welcome["cursor"], welcome["reset"]) == (head.cursor, False)


async def test_the_last_event_id_wins_and_goes_on_without_a_gap_or_repeat(site: Site) -> None:
    await site.ask("one")
    async with Stream(site.server, after=0) as stream:
        position, frame = await stream.until("agent_started")
    await site.ask("two")
    async with Stream(site.server, headers={"last-event-id": position}, after=0) as stream:
        again, welcome = await stream.frame()
        assert (again, welcome["reset"]) == (position, False)
        _, following = await stream.frame()
    assert following["from"] == frame["to"]


async def test_a_position_of_another_log_is_reset(site: Site) -> None:
    await site.ask("one")
    head = await site.store.head(ADA)
    async with Stream(site.server, headers={"last-event-id": "other:3"}) as stream:
        position, welcome = await stream.frame()
    assert (position, welcome["reset"]) == (f"{head.mark}:{head.cursor}", True)


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ({"after": 3}, {}),
        ({"after": "x", "mark": "m"}, {}),
        ({"mark": "m"}, {}),
        ({"since": 3}, {}),
        ({}, {"last-event-id": "3"}),
    ],
)
async def test_what_is_no_position_is_422(
    site: Site, query: dict[str, object], headers: dict[str, str]
) -> None:
    async with Stream(site.server, headers=headers, **query) as stream:
        assert stream.status == 422
        assert stream.headers["content-type"] == "application/problem+json"


async def test_without_a_token_there_is_no_stream(site: Site) -> None:
    async with Stream(site.server, headers={"authorization": "Bearer nonsense"}) as stream:
        assert stream.status == 401


async def test_an_answer_read_to_its_end_is_fetched(site: Site) -> None:
    await site.ask("one")
    assert len(await site.store.undelivered()) == 1
    async with Stream(site.server, after=0) as stream:
        await stream.until("agent_completed")
        site.gate.set()
        await site.ask("two")
        await stream.until("agent_completed")
    assert await site.store.undelivered() == []


async def test_goodbye_is_last_when_the_server_goes(site: Site) -> None:
    async with Stream(site.server) as stream:
        position, _ = await stream.frame()
        await site.server.goodbye()
        last, goodbye = await stream.frame()
    assert (goodbye["type"], goodbye["code"], goodbye["retry"]) == (
        "goodbye",
        "shutting_down",
        True,
    )
    assert (last, stream.ended) == (position, True)


async def test_goodbye_is_last_when_the_token_ends() -> None:
    async with running_site(auth=ShortLived()) as site:
        headers = {"authorization": "Bearer ada:0.1"}
        async with Stream(site.server, headers=headers) as stream:
            _, goodbye = await stream.until("goodbye")
            assert (goodbye["code"], stream.ended) == ("token_ended", True)


async def test_goodbye_is_last_when_the_log_is_replaced_or_the_store_is_away(site: Site) -> None:
    async with Stream(site.server) as one:
        await one.frame()
        site.store.away.add("read")
        site.store.wake("ada")
        assert (await one.until("goodbye"))[1]["code"] == "unavailable"
    site.store.away.clear()
    async with Stream(site.server) as two:
        await two.frame()
        site.store.replaced = True
        site.store.wake("ada")
        assert (await two.until("goodbye"))[1]["code"] == "reset"


async def test_a_store_that_is_away_from_the_start_is_a_plain_answer(site: Site) -> None:
    site.store.away.add("head")
    async with Stream(site.server) as stream:
        assert stream.status == 503


async def test_too_many_streams_of_one_user_are_refused() -> None:
    async with running_site(limits=Limits(sockets_per_user=1)) as site:
        async with Stream(site.server) as one, Stream(site.server, "bob") as other:
            assert (one.status, other.status) == (200, 200)
            async with Stream(site.server) as two:
                assert two.status == 429
        async with Stream(site.server) as three:
            assert three.status == 200
