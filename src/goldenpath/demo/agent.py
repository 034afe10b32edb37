"""The demo's agent: reads a question, asks DuckDB, streams the answer. Plain public API."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from goldenpath.demo.answers import answer, help_text, pieces, refusal
from goldenpath.demo.dataset import Dataset, open_dataset
from goldenpath.demo.questions import NotUnderstood, Query, understand
from goldenpath.demo.schema import Rows
from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import Agent, Tool, agent, tool

SHIPPED_DATA = Path(__file__).with_name("data") / "ai_spending.csv"
DEFAULT_PACE = 0.018
"""Seconds between pieces: about the pace of a model, so that streaming can be seen."""

_HELP = frozenset({"help", "?", "what can you do", "what can i ask", "examples"})


def build_agent(data: Path = SHIPPED_DATA, *, pace: float = DEFAULT_PACE) -> Agent:
    """The analyst over a CSV or SQLite file, opened now. Raises `DatasetError`.

    `pace` is the seconds between pieces of the answer; 0 writes without waiting.
    """
    dataset = open_dataset(data)
    run_sql = _run_sql(dataset)

    @agent(
        "analyst",
        description=f"Answers questions about {data.name} by plain rules",
        tools=[run_sql],
        version="1",
    )
    async def analyst(run: RunContext, message: str) -> str | None:
        if message.lower().strip(" .!?") in _HELP or message.strip() == "?":
            await _write(run, help_text(dataset.schema), pace)
            return None
        read = understand(message, dataset.schema)
        await run.think(_thought(read, data.name), step="read the question")
        if isinstance(read, NotUnderstood):
            await _write(run, refusal(read, dataset.schema), pace)
            return None
        rows = await run.call(run_sql, sql=read.sql)
        await run.think(f"Got {len(rows.rows)} lines; writing the answer", step="write the answer")
        await _write(run, answer(read, rows), pace)
        return None

    return analyst


def _run_sql(dataset: Dataset) -> Tool[Any, Rows]:
    @tool(name="run_sql", idempotent=True, timeout=10)
    def run_sql(sql: str) -> Rows:
        """Run one SELECT over the file, read-only."""
        return dataset.run(sql)

    return run_sql


def _thought(read: Query | NotUnderstood, name: str) -> str:
    if isinstance(read, NotUnderstood):
        words = ", ".join(f"“{word}”" for word in read.words)
        return (
            f"I cannot place {words} in {name}" if words else "The question leaves something open"
        )
    reading = read.reading
    parts = [f"Form: {read.form}"]
    if reading.measures:
        parts.append("measure: " + ", ".join(measure.label for measure in reading.measures))
    if reading.groups:
        parts.append("group: " + ", ".join(group.label for group in reading.groups))
    if reading.filters:
        parts.append("filter: " + " and ".join(one.words for one in reading.filters))
    if reading.top is not None:
        parts.append(f"{'largest' if reading.top.largest else 'smallest'} {reading.top.count}")
    return f"{'; '.join(parts)}. Asking {reading.table.name}."


async def _write(run: RunContext, text: str, pace: float) -> None:
    for piece in pieces(text):
        await run.write(piece)
        await asyncio.sleep(pace)
