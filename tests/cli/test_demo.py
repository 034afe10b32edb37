"""`goldenpath demo` runs the whole way with nothing set up, and outlives being killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest

from goldenpath.cli import demonstration
from goldenpath.client import Client
from goldenpath.config import Settings
from goldenpath.model.events import AgentOutput

pytest.importorskip("duckdb")


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "goldenpath.cli", "demo", *flags]


def environment(state: Path) -> dict[str, str]:
    # A machine that is busy with other tests stalls the loop: that is told, and not what is tested.
    return {**os.environ, "XDG_STATE_HOME": str(state), "GOLDENPATH_WATCHDOG": "60s"}


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def run(state: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*flags), env=environment(state), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, timeout=90, check=False,
    )  # fmt: skip


@contextmanager
def serving(state: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        command("--serve", "--port", str(port)),
        env=environment(state), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("serving"):
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def test_without_a_terminal_it_asks_answers_and_ends(tmp_path: Path, port: int) -> None:
    ended = run(tmp_path, "--port", str(port))
    assert (ended.returncode, ended.stderr) == (0, "")
    for part in ("question:", "agent_started", "agent_thinking", "tool_executing", "tool_completed",
                 "agent_completed", "succeeded", "answer:"):  # fmt: skip
        assert part in ended.stdout
    answer = ended.stdout.partition("answer:")[2]
    assert "|" in answer


def test_it_answers_from_another_file(tmp_path: Path, port: int) -> None:
    (tmp_path / "fruit.csv").write_text("fruit,price\napple,3\npear,4\napple,5\n")
    ended = run(tmp_path, "--port", str(port), "--data", str(tmp_path / "fruit.csv"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "apple" in ended.stdout.partition("answer:")[2]


@pytest.mark.parametrize(
    ("flags", "part"),
    [(["--data", "nothere.csv"], "nothere.csv"), (["--port", "x"], "65535"),
     (["--data", __file__], "--data")],
)  # fmt: skip
def test_what_it_cannot_use_is_one_line(tmp_path: Path, flags: list[str], part: str) -> None:
    ended = run(tmp_path, *flags)
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1), ended.stderr
    assert part in ended.stderr


def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = run(tmp_path, "--port", str(taken.getsockname()[1]))
    assert (ended.returncode, len(ended.stderr.splitlines())) == (2, 1)
    assert "--port" in ended.stderr


def test_it_serves_a_page_and_tokens(tmp_path: Path, port: int) -> None:
    base = f"http://127.0.0.1:{port}"
    with serving(tmp_path, port) as process, httpx.Client(trust_env=False) as web:
        assert "text/html" in web.get(base).headers["content-type"]
        given = web.post(f"{base}/demo/token", json={}).json()
        me = web.get(f"{base}/v1/me", headers={"authorization": f"Bearer {given['token']}"})
        assert me.json()["user_id"] == given["user_id"]
        assert (
            web.post(f"{base}/demo/token", headers={"origin": "http://evil.test"}).status_code
            == 403
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_killed_in_mid_answer_it_goes_on_in_the_same_chat(tmp_path: Path, port: int) -> None:
    """The kept user's key and log survive, so the token of before is good after."""
    base = f"http://127.0.0.1:{port}"

    def token() -> str:
        with httpx.Client(trust_env=False) as web:
            answer = web.post(f"{base}/demo/token", json={"client": "chat"})
            return str(answer.json()["token"])

    async def begin(given: str) -> str:
        async with Client(base, given) as client:
            sent = await client.send("help")
            async for entry in client.run(sent.run_id):
                if isinstance(entry.body, AgentOutput):
                    return sent.run_id
        raise AssertionError

    async def end(given: str, run_id: str) -> None:
        async with Client(base, given) as client:
            pieces: dict[str, str] = {}
            async for entry in client.run(run_id):
                if isinstance(entry.body, AgentOutput):
                    kept = "" if entry.body.restart else pieces.get(entry.body.part_id, "")
                    pieces[entry.body.part_id] = kept + entry.body.text
            completed = await client.result(run_id)
            assert completed.status == "succeeded"
            assert "".join(pieces.values()) == completed.output

    with serving(tmp_path, port) as process:
        given = token()
        run_id = anyio.run(begin, given)
        process.kill()
    with serving(tmp_path, port):
        anyio.run(end, given, run_id)


def test_it_does_not_wait_for_an_answer_for_ever(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def silent(*_: object) -> bool:
        await anyio.sleep_forever()
        return True

    monkeypatch.setattr(demonstration, "_ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(demonstration, "_ask", silent)
    store = f"sqlite:///{tmp_path / 'demo.db'}"
    settings = Settings(port=port, store=store, auth_secret="s" * 40, drain=0.0)
    assert demonstration.demonstrate(settings, None, None, stays=False) == 1
    told = capsys.readouterr().out
    assert "no answer within" in told and f"goldenpath runs --store {store}" in told
