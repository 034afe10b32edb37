"""The benchmark of many hosts runs, in small, and commands leave one another's sections alone."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from benchmarks.cluster import SETTINGS, TITLE, report
from benchmarks.cluster_growth import measure_growth
from benchmarks.cluster_hosts import measure_hosts
from benchmarks.cluster_load import measure_pairs, measure_together
from benchmarks.pages import machine, put_page, put_section

from goldenpath.testing.postgres import PostgresServer


def _quiet(_: str) -> None:
    pass


@pytest.mark.timeout(300)
def test_every_part_of_the_benchmark_runs() -> None:
    with PostgresServer(settings=SETTINGS) as server:
        figures = {
            "pairs": measure_pairs(server, _quiet, pairs=1, users=2, runs=2),
            "together": measure_together(server, _quiet, hosts=(1, 2), users=2, runs=2, idle=0.0),
            "hosts": asyncio.run(
                measure_hosts(server, _quiet, users=2, goings=1, appends=2, silent=1)
            ),
            "growth": asyncio.run(
                measure_growth(server, _quiet, sizes=(2000,), users=100, rounds=1)
            ),
            "machine": machine("a test", 1.0) | {"postgresql": "18"},
        }
    text = report(figures)
    assert "| kill -9 | 1 | 2 |" in text and "| list threads |" in text


def test_commands_keep_the_sections_of_others(tmp_path: Path) -> None:
    put_page("# Results\n\nfirst\n\n## Growth\n\nold\n", {"growth": 1}, tmp_path)
    put_section(TITLE, "of hosts\n\n### A part\n\nof it", {"many_hosts": 2}, tmp_path)
    put_page("# Results\n\nsecond\n\n## Growth\n\nnew\n", {"growth": 3}, tmp_path)
    assert (tmp_path / "RESULTS.md").read_text() == (
        f"# Results\n\nsecond\n\n## Growth\n\nnew\n\n## {TITLE}\n\nof hosts\n\n### A part\n\nof it\n"
    )
    assert json.loads((tmp_path / "results.json").read_text()) == {"growth": 3, "many_hosts": 2}
