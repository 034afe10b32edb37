"""`goldenpath log` shows a user's log, and journal values only when asked to."""

import json
import subprocess
import sys

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.cli.conftest import Invoke, running


def test_the_log_is_printed_as_the_client_would_get_it(url: str, goldenpath: Invoke) -> None:
    code, out, _ = goldenpath("log", "ada", "--store", url, "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    types = [row["type"] for row in rows]
    assert code == 0
    assert types.count("agent_started") == types.count("agent_completed") == 2
    assert [row["seq"] for row in rows] == sorted({row["seq"] for row in rows})
    assert not any("internal" in row for row in rows)
    assert "tool-pin-1234" not in out


def test_it_begins_after_a_seq(url: str, goldenpath: Invoke) -> None:
    _, out, _ = goldenpath("log", "ada", "--store", url, "--json")
    middle = json.loads(out.splitlines()[4])["seq"]
    _, later, _ = goldenpath("log", "ada", "--store", url, "--json", "--after", str(middle))
    assert later.splitlines() == out.splitlines()[5:]


def test_journal_values_are_shown_only_when_revealed(url: str, goldenpath: Invoke) -> None:
    _, concealed, _ = goldenpath("log", "ada", "--store", url, "--json", "--internal")
    _, revealed, _ = goldenpath("log", "ada", "--store", url, "--json", "--internal", "--reveal")
    rows = [json.loads(line) for line in concealed.splitlines()]
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert any(row.get("internal") for row in rows)
    assert "tool-pin-1234" not in concealed
    assert "(hidden; --reveal shows it)" in concealed
    assert "tool-pin-1234" in revealed


def test_people_get_a_line_an_event(url: str, goldenpath: Invoke) -> None:
    code, out, _ = goldenpath("log", "bob", "--store", url)
    assert code == 0
    assert "agent_completed" in out
    assert "what the agent raised" not in out


def test_an_unknown_user_is_named(url: str, goldenpath: Invoke) -> None:
    code, _, err = goldenpath("log", "eve", "--store", url)
    assert code == 2
    assert "'eve' has no log" in err
    assert len(err.splitlines()) == 1


def test_reveal_needs_internal(url: str, goldenpath: Invoke) -> None:
    code, _, err = goldenpath("log", "ada", "--store", url, "--reveal")
    assert (code, "--internal" in err) == (2, True)


def test_following_goes_on_with_what_a_running_server_appends(url: str) -> None:
    """Another process follows while this one runs the engines."""

    async def follow() -> None:
        command = [sys.executable, "-m", "goldenpath.cli", "log", "ada", "--follow", "--json"]
        async with (
            running(url) as (app, _),
            await anyio.open_process(
                [*command, "--store", url], stderr=subprocess.STDOUT
            ) as process,
        ):
            try:
                assert process.stdout is not None
                lines = BufferedByteReceiveStream(process.stdout)
                await app.send(user_id="ada", text="third tea")
                while True:
                    row = json.loads(await lines.receive_until(b"\n", 1 << 20))
                    if row["type"] == "agent_completed" and "THIRD" in row["data"]["output"]:
                        break
            finally:
                process.kill()

    anyio.run(follow)
