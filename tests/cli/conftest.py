"""A store with a few runs in it, as a stopped server leaves it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from goldenpath import App, RunContext, agent, tool
from goldenpath.cli import main
from goldenpath.compose.assembly import Assembly
from goldenpath.config import Settings
from goldenpath.model.commands import Receipt
from goldenpath.model.ids import UserId

SECRET = "test-secret-" * 4


@tool(idempotent=True, secret={"pin"})
async def look(query: str, pin: str) -> dict[str, str]:
    """Look something up."""
    return {"found": query.upper(), "pin": pin}


@agent("helper", tools=[look])
async def helper(run: RunContext, message: str) -> str | None:
    """Look up the message and say it."""
    if message == "fail":
        raise ValueError("what the agent raised")
    found = await run.call(look, query=message, pin="tool-pin-1234")
    return f"Found {found['found']}"


async def ended(assembly: Assembly, user: str, receipt: Receipt) -> None:
    """Wait until a run has ended."""
    store = assembly.host.store
    assert receipt.run_id is not None
    watch = store.watch(UserId(user))
    try:
        while True:
            row = await store.run(UserId(user), receipt.run_id)
            if row is not None and not row.open:
                return
            await watch.wait()
    finally:
        watch.close()


@asynccontextmanager
async def running(url: str) -> AsyncIterator[tuple[App, Assembly]]:
    """The application over the store at `url`, without a server."""
    app = App([helper])
    async with app.running(Settings(store=url, auth_secret=SECRET)) as assembly:
        yield app, assembly


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stopped store: two runs of ada that succeeded, one of bob that failed."""
    monkeypatch.chdir(tmp_path)
    for name in ("STORE", "AUTH_SECRET", "URL", "TOKEN"):
        monkeypatch.delenv(f"GOLDENPATH_{name}", raising=False)
    found = f"sqlite:///{tmp_path / 'users.db'}"

    async def fill() -> None:
        async with running(found) as (app, assembly):
            for user, text in (("ada", "first tea"), ("ada", "second tea"), ("bob", "fail")):
                await ended(assembly, user, await app.send(user_id=user, text=text))

    anyio.run(fill)
    return found


Invoke = Callable[..., tuple[int, str, str]]


@pytest.fixture
def goldenpath(capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Run a command in this process: (exit code, stdout, stderr)."""

    def invoke(*argv: str) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            code = main(argv)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return invoke
