"""A served application: its ports, its signals, and the ways in which it cannot start."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from goldenpath.client import Client
from goldenpath.compose.serving import bind, url_of
from goldenpath.compose.tokens import mint
from goldenpath.config import Settings
from goldenpath.errors import ConfigError
from goldenpath.model.events import AgentCompleted, AgentOutput

SECRET = "a-secret-of-32-bytes-or-more-----"

APP = """
import asyncio, time
from pathlib import Path
from goldenpath import App, RunContext, agent

@agent("gated")
async def gated(run: RunContext, message: str) -> str | None:
    await run.write("began ")
    while not Path("gate").exists():
        await asyncio.sleep(0.02)
    await run.write("ended")
    return None

@agent("blocking")
async def blocking(run: RunContext, message: str) -> str | None:
    time.sleep(0.5)
    return message

app = App([gated, blocking])
"""


class Served:
    """A server process that says where it serves."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        serving = self.logged("serving")
        self.url, self.ops_url = serving["url"], serving["ops_url"]

    def logged(self, message: str) -> dict[str, Any]:
        """Read its diagnostics up to the line with this message."""
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self.lines.append(json.loads(text))
            if self.lines[-1]["message"].startswith(message):
                return self.lines[-1]
        raise AssertionError(f"ended without {message!r}: {self.lines}")


@contextmanager
def served(directory: Path, *flags: str) -> Iterator[Served]:
    (directory / "shop.py").write_text(APP)
    command = [sys.executable, "-m", "goldenpath.cli", "serve", "shop:app", "--port", "0"]
    process = subprocess.Popen(
        [*command, "--ops-bind", "127.0.0.1:0", *flags],
        cwd=directory,
        env={**os.environ, "GOLDENPATH_AUTH_SECRET": SECRET},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Served(process)
    finally:
        process.kill()
        process.communicate()


def token(user: str = "ada") -> str:
    return mint(Settings(auth_secret=SECRET), user, int(time.time()), 600)


def test_the_operators_port_has_metrics_and_health(tmp_path: Path) -> None:
    with served(tmp_path) as server, httpx.Client(trust_env=False) as web:
        assert web.get(f"{server.ops_url}/healthz").status_code == 200
        assert web.get(f"{server.ops_url}/readyz").status_code == 200
        assert "goldenpath_answers_undelivered" in web.get(f"{server.ops_url}/metrics").text
        assert web.get(f"{server.url}/metrics").status_code == 404
        assert web.get(f"{server.url}/healthz").status_code == 200


def test_what_users_experience_is_measured(tmp_path: Path) -> None:
    """An answer that a client got and acknowledged shows in every figure of its way."""
    (tmp_path / "gate").touch()

    async def ask(server: Served) -> None:
        async with Client(server.url, token("a-user-s-name")) as client:
            sent = await client.send("go")
            async for entry in client.run(sent.run_id):
                if isinstance(entry.body, AgentCompleted):
                    client.ack(entry.seq)
            await client.send("again", id="again")  # answered after the acknowledgement was taken

    with served(tmp_path) as server, httpx.Client(trust_env=False) as web:
        anyio.run(ask, server)
        page = web.get(f"{server.ops_url}/metrics").text
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    for name in ("first_event_seconds_count", "delivery_lag_seconds_count", "answers_produced_total",
                 'runs_total{status="succeeded"}', "store_commit_seconds_count"):  # fmt: skip
        assert float(figures[f"goldenpath_{name}"]) > 0, name
    assert "a-user-s-name" not in page


def test_a_stop_lets_runs_end_and_says_goodbye(tmp_path: Path) -> None:
    async def talk(server: Served) -> AgentCompleted:
        async with Client(server.url, token()) as client:
            sent = await client.send("go")
            async for entry in client.run(sent.run_id):
                if isinstance(entry.body, AgentOutput) and entry.body.text.startswith("began"):
                    server.process.send_signal(signal.SIGTERM)
                    await anyio.to_thread.run_sync(server.logged, "draining")
                    (tmp_path / "gate").touch()
                if isinstance(entry.body, AgentCompleted):
                    return entry.body
        raise AssertionError

    with served(tmp_path) as server:
        completed = anyio.run(talk, server)
        assert (completed.status, completed.output) == ("succeeded", "began ended")
        assert server.process.wait(30) == 0
        server.logged("stopped")


def test_what_does_not_end_in_time_goes_on_after_the_next_start(tmp_path: Path) -> None:
    async def begin(server: Served) -> str:
        async with Client(server.url, token()) as client:
            sent = await client.send("go")
            async for entry in client.run(sent.run_id):
                if isinstance(entry.body, AgentOutput):
                    break
            return sent.run_id

    async def end(server: Served, run_id: str) -> AgentCompleted:
        async with Client(server.url, token()) as client:
            return await client.result(run_id)

    with served(tmp_path, "--drain", "0s") as server:
        run_id = anyio.run(begin, server)
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == 0
    (tmp_path / "gate").touch()
    with served(tmp_path) as server:
        assert anyio.run(end, server, run_id).output == "began ended"


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    async def begin(server: Served) -> None:
        async with Client(server.url, token()) as client:
            await client.send("go")

    with served(tmp_path) as server:
        anyio.run(begin, server)
        server.process.send_signal(signal.SIGTERM)
        server.logged("draining")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 128 + signal.SIGTERM


def test_code_that_blocks_the_loop_is_named_and_texts_are_not_logged(tmp_path: Path) -> None:
    async def ask(server: Served) -> None:
        async with Client(server.url, token()) as client:
            sent = await client.send("my secret plan", agent="blocking")
            assert (await client.result(sent.run_id)).output == "my secret plan"

    with served(tmp_path, "--log-level", "debug") as server:
        anyio.run(ask, server)
        named = server.logged("the event loop is blocked by blocking")
        assert "shop.py" in named["message"]
        server.process.send_signal(signal.SIGTERM)
        server.logged("stopped")
        text = json.dumps(server.lines)
        assert "secret plan" not in text
        assert token()[:20] not in text


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--port", "x"], ("--port", "'x'", "65535")),
        (["--store", "postgresql://db/x"], ("postgresql://db/x", "cannot be used")),
        (["--auth", "jwks"], ("auth", "--auth-jwks-url")),
        (["--limit-message", "0"], ("--limit-message", "64KiB")),
        (["--store", "sqlite:////nothere/x.db"], ("nothere",)),
    ],
)
def test_an_impossible_configuration_is_one_line(
    tmp_path: Path, flags: list[str], parts: tuple[str, ...]
) -> None:
    (tmp_path / "shop.py").write_text(APP)
    ended = subprocess.run(
        [sys.executable, "-m", "goldenpath.cli", "serve", "shop:app", "--port", "0",
         "--ops-bind", "127.0.0.1:0", *flags],
        cwd=tmp_path, env={**os.environ, "GOLDENPATH_AUTH_SECRET": SECRET},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    for part in parts:
        assert part in ended.stderr


def test_a_port_in_use_is_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"port: 127.0.0.1:\d+ cannot be used"):
            bind("127.0.0.1", taken.getsockname()[1], "port")


def test_an_address_is_shown_as_a_url() -> None:
    with bind("127.0.0.1", 0, "port") as listener:
        assert url_of(listener) == f"http://127.0.0.1:{listener.getsockname()[1]}"
