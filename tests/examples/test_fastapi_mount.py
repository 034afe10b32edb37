"""The FastAPI example works as it stands: mounted, with the product's own sessions."""

import runpy
from pathlib import Path

import anyio
import pytest

pytest.importorskip("fastapi")
import httpx
from fastapi import FastAPI

EXAMPLE = Path(__file__).parents[2] / "examples" / "fastapi_mount.py"


@pytest.fixture
def web(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    monkeypatch.chdir(tmp_path)
    return runpy.run_path(str(EXAMPLE))["web"]


@pytest.mark.anyio
async def test_sessions_threads_and_the_products_own_work(web: FastAPI) -> None:
    ada, bob = {"session": "session-of-ada"}, {"session": "session-of-bob"}
    async with (
        web.router.lifespan_context(web),
        httpx.AsyncClient(transport=httpx.ASGITransport(web), base_url="http://test") as client,
    ):
        assert (await client.get("/agents/v1/me")).status_code == 401
        run_id = (await client.post("/reminders/ada")).json()["run_id"]
        path = f"/agents/v1/runs/{run_id}"
        for name, value in ada.items():
            client.cookies.set(name, value)
        me = await client.get("/agents/v1/me")
        assert me.json()["user_id"] == "ada"
        with anyio.fail_after(20):
            while (run := (await client.get(path)).json())["status"] in ("waiting", "running"):
                await anyio.lowlevel.checkpoint()
        assert run["output"] == "ada said: Time to drink water."
        client.cookies.set("session", bob["session"])
        assert (await client.get(path)).status_code == 404
