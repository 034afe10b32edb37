"""The analyst says what it read, asks its tool, and streams an answer in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from goldenpath.demo.agent import SHIPPED_DATA, build_agent
from goldenpath.demo.dataset import DatasetError
from goldenpath.engine.definitions import Agent


class FakeRun:
    """A run that keeps what an agent does, and calls tools at once."""

    def __init__(self) -> None:
        self.thoughts: list[str] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.pieces: list[str] = []

    async def think(self, text: str, *, step: str | None = None) -> None:
        self.thoughts.append(text)

    async def call(self, tool: Any, /, **arguments: Any) -> Any:
        self.calls.append((tool.name, arguments))
        return tool(**arguments)

    async def write(self, piece: str) -> None:
        self.pieces.append(piece)


def ask(agent: Agent, question: str) -> FakeRun:
    run = FakeRun()
    returned = anyio.run(agent.function, run, question)
    assert returned is None
    return run


@pytest.fixture(scope="module")
def analyst() -> Agent:
    return build_agent(pace=0)


def test_an_answer_is_a_sentence_and_a_table_in_pieces(analyst: Agent) -> None:
    run = ask(analyst, "top 3 teams by cost in March")
    (name, arguments), *others = run.calls
    assert (name, others) == ("run_sql", [])
    assert arguments["sql"].startswith('SELECT "team"')
    assert "measure: total cost_usd; group: team; filter: day is in 2025-03" in run.thoughts[0]
    assert "".join(run.pieces) == (
        "By team where day is in 2025-03, **platform** has the largest"
        " total cost\\_usd: **203.51**.\n\n"
        "| team | total cost\\_usd |\n| --- | ---: |\n"
        "| platform | 203.51 |\n| research | 155.28 |\n| support | 93.52 |"
    )
    assert len(run.pieces) > 10


@pytest.mark.parametrize(
    ("question", "sentence"),
    [
        ("total cost", "The total cost\\_usd is **1,888.46**."),
        ("how many teams", "The number of different team is **5**."),
        ("total cost in 2031", "No rows match where day is in 2031."),
        ("compare openai and google by requests", "**google** has a total requests of **233,399**"),
        ("cost per month", "is highest in **2025-04-01** (542.16) and lowest in **2025-02-01**"),
        ("rows where requests > 4000", "rows where requests is above 4000:"),
        ("2 highest costs", "2 rows with the largest cost\\_usd:"),
    ],
)
def test_the_sentence_answers(analyst: Agent, question: str, sentence: str) -> None:
    assert sentence in "".join(ask(analyst, question).pieces)


def test_words_that_are_not_understood_are_named_with_columns_and_examples(analyst: Agent) -> None:
    run = ask(analyst, "what is the median cost of *claude*?")
    text = "".join(run.pieces)
    assert run.calls == []
    assert "I did not understand **median**, **claude**." in text
    assert "cost\\_usd (number)" in text
    assert text.count("\n- ") == 3


@pytest.mark.parametrize("question", ["help", "What can you do?", "?", " HELP! "])
def test_help_lists_the_eight_forms(analyst: Agent, question: str) -> None:
    text = "".join(ask(analyst, question).pieces)
    assert text.count("- **") == 8


def test_the_same_question_gives_the_same_pieces(analyst: Agent) -> None:
    first, again = (ask(analyst, "cost by model") for _ in range(2))
    assert (first.thoughts, first.calls, first.pieces) == (
        again.thoughts,
        again.calls,
        again.pieces,
    )


def test_texts_of_the_file_cannot_become_markup(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text('who,n\n"<b>x</b>|\n**y**",1\nz,2\n', encoding="utf-8")
    text = "".join(ask(build_agent(path, pace=0), "n by who").pieces)
    assert "| \\<b\\>x\\</b\\>\\| \\*\\*y\\*\\* | 1 |" in text


def test_a_bad_file_is_told_when_the_agent_is_built(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such file"):
        build_agent(tmp_path / "none.csv")


def test_the_shipped_file_is_the_default() -> None:
    assert SHIPPED_DATA.is_file()
    assert "ai_spending.csv" in build_agent().description
