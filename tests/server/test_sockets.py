"""From request to socket: who may open one, and how many."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from goldenpath.engine.limits import Limits
from goldenpath.model.ids import UserId
from goldenpath.server.auth import Principal
from goldenpath.server.socket import Socket
from goldenpath.wire import native
from tests.server.kit import Peer, Site, token
from tests.server.kit import site as running_site

pytestmark = pytest.mark.anyio


async def test_a_token_may_come_as_a_subprotocol_and_is_never_echoed(site: Site) -> None:
    offered = ("goldenpath.v1", f"goldenpath.token.{token()}")
    async with Peer(site.server, subprotocols=offered) as peer:
        assert peer.subprotocol == "goldenpath.v1"
        assert (await peer.hello())["user_id"] == "ada"


async def test_a_client_that_offers_no_subprotocol_gets_none(site: Site) -> None:
    async with Peer(site.server, bearer=token(), subprotocols=()) as peer:
        assert peer.subprotocol is None
        assert (await peer.hello())["user_id"] == "ada"


@pytest.mark.parametrize("bearer", [None, "", "nonsense", "a.b.c", token(ttl=-5)])
async def test_without_a_good_token_there_is_no_upgrade(site: Site, bearer: str | None) -> None:
    async with Peer(site.server, bearer=bearer) as peer:
        assert peer.refusal is not None
        status, problem = peer.refusal
    assert (status, problem["code"], problem["status"]) == (401, "unauthenticated", 401)
    assert peer.refusal_headers["content-type"] == "application/problem+json"
    assert peer.refusal_headers["www-authenticate"] == "Bearer"
    assert site.counting.open_sockets == 0


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://site.evil.example"])
async def test_a_page_of_another_origin_is_refused_before_its_token_is_looked_at(
    site: Site, origin: str
) -> None:
    for bearer in (token(), "nonsense"):
        async with Peer(site.server, bearer=bearer, headers={"origin": origin}) as peer:
            assert peer.refusal is not None
            assert (peer.refusal[0], peer.refusal[1]["code"]) == (403, "forbidden")


async def test_our_own_pages_and_those_that_are_allowed_may_open_sockets() -> None:
    async with running_site(allow_origins=("https://app.example",)) as site:
        for origin in ("http://site", "https://site", "https://app.example"):
            async with Peer(site.server, bearer=token(), headers={"origin": origin}) as peer:
                assert peer.refusal is None


async def test_there_is_one_socket_address(site: Site) -> None:
    async with Peer(site.server, bearer=token(), path="/v1/other") as peer:
        assert peer.refusal is not None
        assert (peer.refusal[0], peer.refusal[1]["code"]) == (404, "not_found")


async def test_a_server_that_cannot_answer_before_the_upgrade_closes(site: Site) -> None:
    peer = Peer(site.server, bearer=None)
    del peer.scope["extensions"]
    async with peer:
        assert peer.refusal is None
        assert peer.subprotocol is None


async def test_the_oldest_of_too_many_sockets_goes_even_if_it_reads_nothing() -> None:
    async with running_site(limits=Limits(sockets_per_user=2)) as site:
        async with site.tab() as first, site.tab() as second:
            first.stall()
            async with site.tab() as third, site.tab("bob") as other:
                for tab in (second, third, other):
                    tab.put(type="ping", id="p")
                    await tab.answer("pong")
                async with site.tab() as fourth:
                    assert (await second.answer("goodbye"))["code"] == "too_many_sockets"
                    assert await second.closed() == 4409
                    for tab in (third, fourth, other):
                        tab.put(type="ping", id="q")
                        await tab.answer("pong")
            first.resume()
            assert (await first.answer("goodbye"))["retry"] is False
            assert await first.closed() == 4409
        assert site.counting.open_sockets == 0


async def test_while_shutting_down_no_new_reader_is_taken(site: Site) -> None:
    await site.host.drain(0)
    async with site.peer() as peer:
        assert peer.refusal is not None
        status, problem = peer.refusal
        assert (status, problem["code"], problem["retryable"]) == (503, "unavailable", True)


async def test_below_a_prefix_the_socket_is_where_the_mount_is(site: Site) -> None:
    async with Peer(site.server, bearer=token(), root_path="/agents") as peer:
        assert (await peer.hello())["user_id"] == "ada"


async def test_a_goodbye_that_never_begins_leaves_nothing_behind() -> None:
    """A coroutine that nobody awaits is a warning, and warnings fail tests."""

    async def nothing(*_: Any) -> Any:
        raise AssertionError("it was cancelled before its first step")

    service: Any = SimpleNamespace(host=None)
    leaving = Socket(service, Principal(UserId("ada")), nothing, nothing).leave(
        native.GOING_AWAY, "shutting_down", retry=True
    )
    leaving.cancel()
    await asyncio.wait({leaving})
    gc.collect()
    assert leaving.cancelled()
