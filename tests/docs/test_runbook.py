"""The runbook is typed as it stands, and knows every alert and every line of the store."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest
import yaml

from goldenpath.compose.stores import open_reader
from tests.databases import versions
from tests.docs.operator import operator
from tests.docs.pages import ROOT, blocks
from tests.docs.terminal import BOUND, Reader

PAGE = ROOT / "docs" / "runbook.md"
TEXT = " ".join(PAGE.read_text().split())
ALERTS = [
    rule
    for group in yaml.safe_load((ROOT / "deploy" / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("version", versions())
def test_every_step_is_true(version: int) -> None:
    """From an empty server to a failover and back, with hosts that go on through it."""
    with operator(version) as reader:
        for block in blocks(PAGE):
            if block.words.get("wait") == "running":
                until_running(reader)
            reader.do(block)


def until_running(reader: Reader) -> None:
    """Until a run has written some of its answer."""

    async def look() -> None:
        with anyio.fail_after(BOUND):
            async with open_reader(reader.environment["GOLDENPATH_STORE"]) as store:
                while not await store.runs(None, "running", 1):
                    await anyio.sleep(0.02)

    anyio.run(look)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_every_alert_has_its_section(alert: dict[str, str]) -> None:
    assert f"\n### {alert['alert']}\n" in PAGE.read_text()


def test_every_section_below_alerts_is_an_alert() -> None:
    sections = re.findall(r"^### (Goldenpath\w+)$", PAGE.read_text(), re.MULTILINE)
    assert sections == [alert["alert"] for alert in ALERTS]


def messages() -> Iterator[tuple[str, str]]:
    """(where, the longest text without a value) of each error that the PostgreSQL store raises."""
    package = ROOT / "src" / "goldenpath" / "store"
    for file in [*(package / "postgres").glob("*.py"), package / "image.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""  # fmt: skip
            if name in ("StoreOpenError", "StoreUnavailableError"):
                parts = [
                    part.value
                    for part in ast.walk(node.args[0])
                    if isinstance(part, ast.Constant) and isinstance(part.value, str)
                ]
                longest = max(parts, key=len, default="").strip(" :;,()")
                if len(longest) > 4:
                    yield f"{Path(file).name}:{node.lineno}", longest


@pytest.mark.parametrize(("where", "text"), list(messages()), ids=lambda one: one[:40])
def test_every_line_of_the_store_is_explained(where: str, text: str) -> None:
    assert text in TEXT or text.partition("; ")[0] in TEXT, where
