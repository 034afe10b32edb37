"""`goldenpath runs` lists runs, and the answers that nobody received."""

import json

import anyio
import pytest

from goldenpath import App, RunContext, agent
from goldenpath.config import Settings
from goldenpath.model.ids import DeviceId, UserId
from tests.cli.conftest import SECRET, Invoke, running


def listed(out: str) -> list[tuple[str, str, str]]:
    rows = [json.loads(line) for line in out.splitlines()]
    return [(row["user_id"], row["text"], row["status"]) for row in rows]


def test_all_runs_newest_first(url: str, goldenpath: Invoke) -> None:
    code, out, _ = goldenpath("runs", "--store", url, "--json")
    assert code == 0
    assert listed(out) == [
        ("bob", "fail", "failed"),
        ("ada", "second tea", "succeeded"),
        ("ada", "first tea", "succeeded"),
    ]


@pytest.mark.parametrize(
    ("flags", "count"),
    [(["--user", "ada"], 2), (["--status", "failed"], 1), (["--user", "ada", "--status", "failed"], 0),
     (["--user", "eve"], 0), (["--limit", "1"], 1)],
)  # fmt: skip
def test_filters(url: str, goldenpath: Invoke, flags: list[str], count: int) -> None:
    code, out, _ = goldenpath("runs", "--store", url, "--json", *flags)
    assert (code, len(out.splitlines())) == (0, count)


def test_runs_that_the_next_start_goes_on_with(url: str, goldenpath: Invoke) -> None:
    """A server that was stopped in their midst leaves them `resuming`."""

    async def stop_in_the_midst() -> None:
        begun = anyio.Event()

        @agent("patient")
        async def patient(run: RunContext, message: str) -> str | None:
            begun.set()
            await anyio.sleep_forever()

        app = App([patient])
        async with app.running(Settings(store=url, auth_secret=SECRET, drain=0)):
            await app.send(user_id="eve", text="a long question")
            await begun.wait()

    anyio.run(stop_in_the_midst)
    code, out, _ = goldenpath("runs", "--store", url, "--json", "--status", "resuming")
    assert (code, listed(out)) == (0, [("eve", "a long question", "resuming")])
    assert json.loads(out)["parked"] == "shutdown"
    _, out, _ = goldenpath("runs", "--store", url, "--user", "eve")
    assert "resuming (shutdown)" in out
    _, out, _ = goldenpath("runs", "--store", url, "--json", "--status", "running")
    assert out == ""


def test_people_get_a_table(url: str, goldenpath: Invoke) -> None:
    code, out, _ = goldenpath("runs", "--store", url)
    assert code == 0
    assert out.splitlines()[0].split() == [
        "TIME",
        "USER",
        "STATUS",
        "AGENT",
        "RUN",
        "ERROR",
        "QUESTION",
    ]
    assert "agent_error" in out
    assert "first tea" in out


def test_undelivered_answers_are_those_that_no_device_acknowledged(
    url: str, goldenpath: Invoke
) -> None:
    code, out, _ = goldenpath("runs", "--store", url, "--undelivered", "--json")
    assert (code, len(out.splitlines())) == (0, 3)

    async def acknowledge() -> None:
        async with running(url) as (_, assembly):
            store = assembly.host.store
            await store.acknowledge(
                UserId("ada"), DeviceId("phone"), await store.head(UserId("ada"))
            )

    anyio.run(acknowledge)
    code, out, _ = goldenpath("runs", "--store", url, "--undelivered", "--json")
    assert listed(out) == [("bob", "fail", "failed")]
    _, out, _ = goldenpath("runs", "--store", url, "--undelivered", "--user", "ada", "--json")
    assert out == ""


def test_a_status_that_is_none_is_named(url: str, goldenpath: Invoke) -> None:
    code, _, err = goldenpath("runs", "--store", url, "--status", "done")
    assert code == 2
    assert "'done'" in err
    assert "succeeded" in err
