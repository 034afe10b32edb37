"""Whoever follows the pages, command by command, sees what they show."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks
from tests.docs.terminal import BOUND, Reader

pytest.importorskip("duckdb")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(tmp_path)
    yield found
    found.close()


def in_mid_answer(reader: Reader) -> None:
    """Wait until the chat's run has written some of its answer, and not all."""
    store = f"sqlite:///{reader.directory / '.local' / 'state' / 'goldenpath' / 'demo.db'}"
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        shown = subprocess.run(
            ["goldenpath", "log", "chat", "--json", "--store", store],
            env=reader.environment, capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        entries = [json.loads(line) for line in shown.splitlines()]
        runs = {e["run_id"] for e in entries if e["type"] == "agent_output"}
        if runs - {e["run_id"] for e in entries if e["type"] == "agent_completed"}:
            return
    raise AssertionError("no answer began")


def running(reader: Reader) -> None:
    """Wait until a run is under way."""
    deadline = time.monotonic() + BOUND
    while time.monotonic() < deadline:
        shown = subprocess.run(
            ["goldenpath", "runs", "--status", "running", "--json", "--store", "sqlite:///users.db"],
            cwd=reader.directory, env=reader.environment, capture_output=True, text=True, check=False,
        ).stdout  # fmt: skip
        if shown.strip():
            return
    raise AssertionError("no run began")


def follow(reader: Reader, page: list[Block]) -> None:
    for block in page:
        if "kill -9" in block.text and block.language == "console":
            in_mid_answer(reader)
        if block.words.get("wait") == "running":
            running(reader)
        reader.do(block)


def test_the_tour_of_the_readme(reader: Reader) -> None:
    """Ask, kill in mid-answer, restart: the answer completes in the same chat, once."""
    follow(reader, blocks(ROOT / "README.md"))
    answer = [line[2:] if line.startswith("< ") else line for line in reader_lines(reader, "chat")]
    days = [line for line in answer if re.match(r"\| \d{4}-\d\d-\d\d \|", line)]
    assert len(days) == 100
    assert len(set(days)) == len(days)


def reader_lines(reader: Reader, terminal: str) -> list[str]:
    return reader.terminals[terminal].everything


@pytest.mark.parametrize("name", ["concepts", "writing-agents", "replayable-agents", "operating"])
def test_a_page_of_the_docs(reader: Reader, name: str) -> None:
    follow(reader, blocks(ROOT / "docs" / f"{name}.md"))


def test_make_demo_and_make_test_are_what_the_readme_says() -> None:
    """The tour runs what `make demo` runs."""
    assert shutil.which("make")
    for target, part in (("demo", "goldenpath demo"), ("test", "pytest")):
        printed = subprocess.run(
            ["make", "--dry-run", "--always-make", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout  # fmt: skip
        assert part in printed.splitlines()[-1]
