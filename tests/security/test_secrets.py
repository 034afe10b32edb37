"""Secrets and texts are where they belong: not in events, errors, metrics, diagnostics."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncGenerator
from importlib.metadata import distribution
from typing import Any

import httpx
import pytest

from goldenpath import App
from goldenpath.telemetry import logging as diagnostics
from goldenpath.testing import AppServer
from tests.security.conftest import keeper
from tests.server import kit

PIN = "pin-7391-of-ada"


@pytest.fixture
async def site(anyio_backend: str) -> AsyncGenerator[kit.Site]:
    async with kit.site() as running:
        yield running


def test_secrets_show_nowhere_but_in_the_journal(
    server: AppServer, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Named keys of arguments and results, and whatever an exception says."""
    with caplog.at_level(logging.DEBUG, "goldenpath"):
        answer = server.ask("ada", PIN)
    shown = [repr(entry.body) for entry in answer.events[1:]]  # the first is what the user said
    assert answer.output == "opened" and PIN not in str(shown)
    assert sum("[redacted]" in one for one in shown) >= 2
    assert PIN not in caplog.text
    out, err = capfd.readouterr()
    assert PIN not in out + err


def test_metrics_name_no_user_and_no_text() -> None:
    app = App(agents=[keeper])
    with AppServer(app) as server:
        server.ask("ada-lovelace", PIN)
        assembly = app._assembly
        assert assembly is not None
        page = server.call(assembly.metrics()).decode()
    assert 'goldenpath_runs_total{status="succeeded"' in page
    assert PIN not in page and "ada-lovelace" not in page


def noting(calls: list[str], name: str, method: Any) -> Any:
    async def noted(*args: Any, **more: Any) -> Any:
        calls.append(name)
        return await method(*args, **more)

    return noted


@pytest.mark.anyio
async def test_a_foreign_id_costs_what_a_missing_one_costs(
    site: kit.Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell them apart by time: both ask the store for the same."""
    accepted = await site.ask("hello", user="bob")
    asked: list[list[str]] = []
    store = site.store.inner
    reads = ("thread", "run", "history", "entries", "read", "threads", "runs")
    calls: list[str] = []
    for name in reads:
        monkeypatch.setattr(store, name, noting(calls, name, getattr(store, name)))
    answers: list[str] = []
    for thread, run in ((accepted["thread_id"], accepted["run_id"]), ("t" * 36, "r" * 36)):
        calls.clear()
        async with site.http("ada") as web:
            for path in (f"/v1/threads/{thread}", f"/v1/threads/{thread}/messages",
                         f"/v1/runs/{run}", f"/v1/runs/{run}/events"):  # fmt: skip
                answer = await web.get(path)
                assert answer.status_code == 404
                answers.append(answer.text)
        asked.append(list(calls))
    assert asked[0] == asked[1] and len(asked[0]) >= 4
    assert answers[:4] == answers[4:]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_line_of_diagnostics_is_one_line(terminal: bool) -> None:
    """Whatever a name of a user holds: no forged line, and nothing that drives a terminal."""
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    handler = logging.StreamHandler(stream)
    handler.setFormatter(diagnostics.TextFormatter() if terminal else diagnostics.JsonFormatter())
    logger = logging.Logger("goldenpath.test")
    logger.addHandler(handler)
    forged = 'ada\n{"level":"ERROR"}\r\x1b[2J\u2028'
    logger.error("the engine of user %s failed", forged, extra={"user": forged})
    written = stream.getvalue()
    assert written.count("\n") == 1 and written.endswith("\n")
    assert not any(c in written for c in "\r\x1b\u2028")
    if not terminal:
        assert "ada" in json.loads(written)["message"]


def test_what_we_depend_on_is_licensed_permissively() -> None:
    """Of what an installation brings; by the packages' own words."""
    permissive = ("MIT", "BSD", "Apache", "ISC", "PSF", "Zlib", "Python Software", "any-OSI")
    names = [one.split(">")[0].split("=")[0].split("[")[0].split(";")[0].strip()
             for one in distribution("goldenpath").requires or []]  # fmt: skip
    assert len(names) > 8
    for name in names:
        about = distribution(name).metadata
        words = " ".join(
            [about.get("License-Expression") or "", about.get("License") or ""]
            + [c for c in about.get_all("Classifier") or [] if c.startswith("License")]
        )
        assert any(one in words for one in permissive), f"{name}: {words[:80]}"


def test_an_unauthenticated_answer_tells_nothing(server: AppServer) -> None:
    answers = {
        httpx.get(f"{server.url}{path}", headers={"Authorization": f"Bearer {token}"}).text
        for path in ("/v1/me", "/v1/threads", "/v1/runs/x")
        for token in ("x", server.token("ada")[:-2], "a.b.c")
    }
    assert len(answers) == 1
