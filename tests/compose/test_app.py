"""`App`: work by the product's own code, mounting, and one clear error when it does not run."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from goldenpath import App, ConfigError, RefusedError, RunContext, agent
from goldenpath.compose.app import NOT_RUNNING
from goldenpath.model.commands import Receipt
from goldenpath.model.ids import UserId
from tests.cli.conftest import ended

SECRET = "a-secret-of-32-bytes-or-more-----"


@agent("echo")
async def echo(run: RunContext, message: str) -> str | None:
    """Say it again."""
    return message


async def nobody(request: object) -> str | None:
    """An application that knows no user but one."""
    return None


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> App:
    monkeypatch.chdir(tmp_path)
    return App([echo], store="sqlite:///users.db", authenticate=nobody)


@pytest.mark.anyio
async def test_the_products_own_code_starts_work_by_the_inbox(app: App) -> None:
    async with app.running() as assembly:
        first = await app.send(user_id="ada", text="hello", id="job-1")
        again = await app.send(user_id="ada", text="hello", id="job-1")
        assert first == again
        await ended(assembly, "ada", first)
        assert first.run_id is not None
        row = await assembly.host.store.run(UserId("ada"), first.run_id)
        assert row is not None
        assert (row.status, row.output) == ("succeeded", "hello")
        more = await app.send(user_id="ada", text="more", thread_id=first.thread_id, agent="echo")
        assert more.thread_id == first.thread_id


@pytest.mark.anyio
async def test_what_was_sent_before_a_stop_is_known_after_it(app: App) -> None:
    async def send_once() -> Receipt:
        async with app.running():
            return await app.send(user_id="ada", text="hello", id="job-1")

    assert await send_once() == await send_once()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"id": "not an id"}, "invalid_field"),
        ({"user_id": ""}, "invalid_field"),
        ({"agent": "nobody"}, "unknown_agent"),
        ({"thread_id": "01890000-0000-7000-8000-000000000000"}, "not_found"),
        ({"text": "x" * 70_000}, "too_large"),
    ],
)
@pytest.mark.anyio
async def test_what_cannot_be_sent_is_refused_with_the_protocols_code(
    app: App, changes: dict[str, str], code: str
) -> None:
    async with app.running():
        with pytest.raises(RefusedError) as caught:
            await app.send(**{"user_id": "ada", "text": "hello", **changes})  # type: ignore[arg-type]
    assert caught.value.code == code


@pytest.mark.anyio
async def test_an_app_that_does_not_run_says_how_to_run_it(app: App) -> None:
    with pytest.raises(RefusedError, match="async with app.running"):
        await app.send(user_id="ada", text="hello")
    mounted = Starlette(routes=[Mount("/agents", app.asgi())])
    transport = httpx.ASGITransport(mounted)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/agents/v1/me")
    assert answer.status_code == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.json()["code"], answer.json()["message"]) == ("unavailable", NOT_RUNNING)


@pytest.mark.anyio
async def test_it_runs_once_at_a_time(app: App) -> None:
    async with app.running():
        with pytest.raises(ConfigError, match="running already"):
            async with app.running():
                pass
    async with app.running():
        pass


@pytest.mark.anyio
async def test_mounted_it_answers_below_its_path(app: App) -> None:
    @asynccontextmanager
    async def lifespan(web: Starlette) -> AsyncIterator[None]:
        async with app.running():
            yield

    web = Starlette(routes=[Mount("/agents", app.asgi())], lifespan=lifespan)
    transport = httpx.ASGITransport(web)
    async with (
        web.router.lifespan_context(web),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        assert (await client.get("/agents/healthz")).status_code == 200
        assert (await client.get("/agents/v1/me")).status_code == 401


@pytest.mark.anyio
async def test_without_a_way_to_know_users_it_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GOLDENPATH_AUTH_SECRET", raising=False)
    with pytest.raises(ConfigError, match="GOLDENPATH_AUTH_SECRET"):
        async with App([echo]).running():
            pass


@pytest.mark.anyio
async def test_a_plain_asgi_server_runs_it_by_its_lifespan(app: App) -> None:
    sent: list[str] = []
    asked = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, str]:
        return {"type": next(asked)}

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])
        if message["type"] == "lifespan.startup.complete":
            await app.send(user_id="ada", text="hello")

    await app.asgi()({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
