"""The ASGI application as a whole: health, headers, unknown paths, mounting, faults of ours."""

from __future__ import annotations

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from goldenpath.store.interface import StoreStatus
from tests.server.kit import Peer, Site, Stream, token
from tests.server.kit import site as running_site

pytestmark = pytest.mark.anyio


async def test_alive_is_not_ready(site: Site) -> None:
    async with site.http(None) as web:
        assert (await web.get("/healthz")).status_code == 200
        assert (await web.get("/readyz")).status_code == 200
        site.store.inner.disk.writable = False  # type: ignore[attr-defined]
        answer = await web.get("/readyz")
        assert (answer.status_code, "disk" in answer.text) == (503, True)
        site.store.inner.disk.writable = True  # type: ignore[attr-defined]
        assert site.store.status() == StoreStatus(writable=True)
        await site.host.drain(0)
        assert (await web.get("/healthz")).status_code == 200
        assert (await web.get("/readyz")).status_code == 503


async def test_answers_have_the_headers_that_keep_browsers_careful(site: Site) -> None:
    async with site.http() as web:
        for path in ("/v1/me", "/nowhere", "/docs", "/openapi.json", "/healthz"):
            headers = (await web.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
        assert (await web.get("/v1/me")).headers["cache-control"] == "no-store"
        assert "default-src 'none'" in (await web.get("/docs")).headers["content-security-policy"]


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/threads/", "/v1/nothing", "/metrics", "/v1/socket"]
)
async def test_an_unknown_path_is_not_found(site: Site, path: str) -> None:
    async with site.http() as web:
        answer = await web.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/v1/me", "/v1/threads", "/v1/runs/x/cancel"])
async def test_a_method_that_a_path_does_not_have_is_405(site: Site, path: str) -> None:
    async with site.http() as web:
        answer = await web.put(path)
    assert (answer.status_code, answer.json()["status"]) == (405, 405)
    assert answer.headers["allow"]


async def test_a_fault_of_ours_is_a_problem_without_its_details(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise LookupError("an inner secret")

    monkeypatch.setattr(site.host.store.inner, "thread", broken)  # type: ignore[attr-defined]
    async with site.http() as web:
        answer = await web.get("/v1/threads/x")
    assert (answer.status_code, answer.json()["retryable"]) == (500, True)
    assert "secret" not in answer.text


async def test_it_works_below_a_prefix(site: Site) -> None:
    outer = Starlette(routes=[Mount("/agents", site.server)])
    transport = httpx.ASGITransport(outer)
    headers = {"authorization": f"Bearer {token()}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://site") as web:
        assert (await web.get("/agents/v1/me", headers=headers)).json()["user_id"] == "ada"
        assert (await web.get("/agents/docs")).status_code == 200
        document = (await web.get("/agents/openapi.json")).json()
        assert document["servers"][0]["url"] == "."
        assert (await web.get("/v1/me", headers=headers)).status_code == 404
    peer = Peer(outer, bearer=token(), path="/agents/v1/socket")
    async with peer:
        assert (await peer.hello())["user_id"] == "ada"
    stream = Stream(outer)
    stream.scope["path"] = "/agents/v1/events"
    async with stream:
        assert (await stream.frame())[1]["type"] == "welcome"


async def test_pages_of_allowed_origins_may_read_answers_and_no_others() -> None:
    origin = {"origin": "https://app.example"}
    async with running_site(allow_origins=("https://app.example",)) as site, site.http() as web:
        answer = await web.post("/v1/threads", json={}, headers=origin)
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "Idempotency-Key" in answer.headers["access-control-expose-headers"]
        asked = {**origin, "access-control-request-method": "POST",
                 "access-control-request-headers": "authorization,idempotency-key"}  # fmt: skip
        assert (await web.options("/v1/threads", headers=asked)).status_code == 200
        other = await web.get("/v1/me", headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        stream = Stream(site.server, headers=origin)
        async with stream:
            assert stream.headers["access-control-allow-origin"] == "https://app.example"
    async with running_site() as site, site.http() as web:
        assert (
            "access-control-allow-origin" not in (await web.get("/v1/me", headers=origin)).headers
        )
