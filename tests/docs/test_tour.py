"""Whoever follows the pages, command by command, sees what they show."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio
import pytest

from goldenpath.compose.stores import Reader as StoreReader
from goldenpath.compose.stores import open_reader
from goldenpath.model.ids import Seq, UserId
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.terminal import BOUND, Reader

pytest.importorskip("duckdb")

DEMO_STORE = Path(".local/state/goldenpath/demo.db")


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    found = Reader(tmp_path)
    yield found
    found.close()


def until(path: Path, condition: Callable[[StoreReader], Awaitable[bool]]) -> None:
    """Look at a store beside its server until something is in it."""

    async def look() -> None:
        with anyio.fail_after(BOUND):
            async with open_reader(f"sqlite:///{path}") as store:
                while not await condition(store):
                    await anyio.sleep(0.02)

    anyio.run(look)


async def in_mid_answer(store: StoreReader) -> bool:
    """True if the chat's run has written some of its answer, and not all."""
    rows = await store.runs(UserId("chat"), "running", 1)
    if not rows:
        return False
    _, entries = await store.entries(UserId("chat"), Seq(rows[0][1].first_seq))
    return any(entry.type == "agent_output" for entry in entries)


async def running(store: StoreReader) -> bool:
    """True if a run is under way."""
    return bool(await store.runs(None, "running", 1))


def follow(reader: Reader, page: list[Block]) -> None:
    for block in page:
        by_hand = "by-hand" in block.words
        if "kill -9" in block.text and block.language == "console" and not by_hand:
            until(reader.directory / DEMO_STORE, in_mid_answer)
        if block.words.get("wait") == "running":
            until(reader.directory / "users.db", running)
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


@pytest.mark.parametrize(
    "name", ["concepts", "writing-agents", "replayable-agents", "operating", "testing"]
)
def test_a_page_of_the_docs(reader: Reader, name: str) -> None:
    follow(reader, blocks(ROOT / "docs" / f"{name}.md"))


def test_make_demo_and_make_test_are_what_the_readme_says() -> None:
    """The tour runs what `make demo` runs."""
    assert shutil.which("make")
    for target, part in (("demo", "goldenpath demo"), ("test", "pytest")):
        printed = subprocess.run(
            ["make", "--dry-run", "--always-make", target],
            cwd=ROOT,
            # Not as a part of the make that may run this test.
            env={name: value for name, value in os.environ.items() if "MAKE" not in name},
            capture_output=True,
            text=True,
            check=True,
        ).stdout  # fmt: skip
        assert part in printed.splitlines()[-1]
