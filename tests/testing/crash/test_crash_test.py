"""`goldenpath crash-test`: what it finds in agents whose mistake is known, by real kills."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from goldenpath.cli import main

AGENTS = "tests.testing.crash.agents:app"
SOURCE = Path(__file__).with_name("agents.py")
EXAMPLES = Path(__file__).parents[3] / "examples"

Tested = Callable[..., tuple[int, list[dict[str, Any]], list[dict[str, Any]]]]


@pytest.fixture
def tested(capfd: pytest.CaptureFixture[str]) -> Tested:
    """Runs the command: its exit code, rows and findings."""

    def test(agent: str, *more: str) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]]:
        code = main(["crash-test", AGENTS, "--agent", agent, "--json", *more])
        lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
        rows = [line for line in lines if "seq" in line]
        return code, rows, [line["finding"] for line in lines if "finding" in line]

    return test


def test_waits_children_and_care_are_no_mistakes(tested: Tested) -> None:
    code, rows, findings = tested("sound")
    assert (code, findings) == (0, [])
    assert {row["answer"] for row in rows} == {"same"} and {row["differs"] for row in rows} == {
        None
    }
    crashed = {(row["seq"], row["crash"]) for row in rows}
    last = max(row["seq"] for row in rows)
    assert crashed >= {(seq, "before") for seq in range(1, last - 3)}
    assert [row["ambiguous"] for row in rows if row["ambiguous"]] and len(rows) == 2 * last


def test_an_answer_made_of_what_is_not_recorded(tested: Tested) -> None:
    code, rows, (finding,) = tested("teller")
    assert code == 1 and "another answer: 'attempt 2' instead of 'attempt 1'" in finding["what"]
    assert {row["answer"] for row in rows} == {"same", "other"}


def test_a_failure_that_is_not_looked_at(tested: Tested) -> None:
    code, rows, (finding,) = tested("heedless")
    assert code == 1 and "not known whether pay ran" in finding["what"]
    assert {row["answer"] for row in rows} == {"same", "failed/agent_error"}


def test_a_wait_that_only_the_first_process_ends(tested: Tested) -> None:
    code, _, (finding,) = tested("forgetful", "--timeout", "1", "--jobs", "8")
    assert code == 1 and "does not come to an end: no answer within 1 s" in finding["what"]


def test_steps_in_another_order_and_the_lines_that_ask(tested: Tested) -> None:
    code, rows, (finding,) = tested("shuffled")
    assert code == 1 and "the steps differ on replay" in finding["what"]
    lines = {row["differs"] for row in rows if row["differs"]}
    (number,) = [
        n for n, line in enumerate(SOURCE.read_text().splitlines(), 1) if "for name in" in line
    ]
    assert lines and all(line.count(f"agents.py:{number}") == 2 for line in lines), lines


def test_who_opts_out_of_replay_is_not_blamed(tested: Tested) -> None:
    code, rows, findings = tested("gives_up")
    assert (code, findings) == (0, [])
    assert "failed/crashed" in {row["answer"] for row in rows}


def test_who_fails_without_a_crash_is_told_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["crash-test", AGENTS, "--agent", "broken"]) == 1
    assert (
        "it fails without a crash: failed/agent_error: ValueError: no luck"
        in capfd.readouterr().out
    )


def test_answers_that_vary_by_themselves_are_not_compared(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["crash-test", AGENTS, "--agent", "random"]) == 0
    assert "The answer differs without a crash too" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("flags", "remedy"),
    [
        (["--agent", "nobody"], "--agent: there is no 'nobody'; give one of: sound, child"),
        (["--jobs", "0"], "--jobs: 0 cannot be used"),
        (["--timeout", "-1"], "--timeout: -1.0 cannot be used"),
    ],
)
def test_a_bad_flag_is_one_line(
    flags: list[str], remedy: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["crash-test", AGENTS, *flags]) == 2
    assert remedy in capfd.readouterr().err


def test_the_example_s_mistakes_are_found_and_mended(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(EXAMPLES)
    assert main(["crash-test", "order_desk:app", "--agent", "careless"]) == 1
    out = " ".join(capfd.readouterr().out.split())
    assert "charge ran once more than without a crash, though it is not idempotent" in out
    assert "reserve with other arguments (order_desk.py:45)" in out and "2 findings" in out
    assert main(["crash-test", "order_desk:app", "--agent", "careful"]) == 0
    assert "no findings" in capfd.readouterr().out
