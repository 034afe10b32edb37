"""Questions become the SQL of the table in questions.toml; what is not understood is named."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from goldenpath.demo.dataset import Dataset
from goldenpath.demo.examples import examples
from goldenpath.demo.questions import NotUnderstood, Query, understand
from goldenpath.demo.schema import Column, Schema, Table
from goldenpath.demo.sql import FORMS

QUESTIONS: list[dict[str, Any]] = tomllib.loads(
    Path(__file__).with_name("questions.toml").read_text(encoding="utf-8")
)["question"]


@pytest.mark.parametrize("case", QUESTIONS, ids=lambda case: case["ask"])
def test_a_question_becomes_the_sql_of_the_table(
    case: dict[str, Any], datasets: dict[str, Dataset]
) -> None:
    dataset = datasets[case["file"]]
    query = understand(case["ask"], dataset.schema)
    assert isinstance(query, Query)
    assert (query.form, query.sql) == (case["form"], case["sql"].strip())
    rows = dataset.run(query.sql).rows
    if "rows" in case:
        assert rows == [
            [pytest.approx(cell, abs=1e-4) if isinstance(cell, float) else cell for cell in row]
            for row in case["rows"]
        ]


def test_the_table_has_forty_questions_half_over_each_file_and_every_form() -> None:
    assert Counter(case["file"] for case in QUESTIONS) == {"ai_spending.csv": 20, "library.sql": 20}
    assert {case["form"] for case in QUESTIONS} == set(FORMS)


@pytest.mark.parametrize(
    ("ask", "words", "hint"),
    [
        ("what is the median cost", ("median",), ""),
        ("why did cost go up", ("why", "go", "up"), ""),
        ("cost of claude", ("claude",), "claude-3-5-haiku or claude-3-5-sonnet"),
        ("researh cost", ("researh",), "research"),
        ("total tokens", ("tokens",), "input_tokens or output_tokens"),
        ("cost / requests", ("/",), ""),
        ("cost above 5%", ("%",), ""),
        ("cost this month", ("this", "month"), ""),
        ("cost where team is bananas", ("bananas",), ""),
        ("cost or requests", ("or",), ""),
        ("top 3 teams", (), "by which number"),
        ("compare research and platform", (), "by which number"),
        ("total by team", (), "of which column"),
        ("count team average openai", (), "of which column"),
        ("compare cost", (), "two values"),
        ("top 1000 teams by cost", ("1000",), "from 1 to 100"),
        ("cost between 2025-04-01 and 2025-03-01", ("between",), "2025-04-01 is after 2025-03-01"),
        ("cost in 2025-02-30", ("2025-02-30",), ""),
        ("drop table ai_spending", ("drop",), ""),
        ("", (), "no word"),
        ("?!", (), "no word"),
        ("hello", (), "no question"),
        ("cost " * 300, (), "too long"),
    ],
)
def test_what_is_not_understood_is_named(
    ask: str, words: tuple[str, ...], hint: str, spending: Dataset
) -> None:
    result = understand(ask, spending.schema)
    assert isinstance(result, NotUnderstood)
    assert set(words) <= set(result.words)
    if not words:
        assert result.words == ()
    assert hint in "; ".join(result.hints)
    assert len(result.suggestions) == 3


def test_a_column_of_the_other_table_is_named_as_such(library: Dataset) -> None:
    result = understand("fine by city", library.schema)
    assert isinstance(result, NotUnderstood)
    assert result.words == ("city",)
    assert "is in members" in result.hints[0]


def test_a_question_that_fits_two_tables_asks_which() -> None:
    columns = (Column("city", "text", ("Lunde", "Ostby")),)
    schema = Schema((Table("shops", columns, 3), Table("people", columns, 4)))
    asked = understand("count by city", schema)
    assert isinstance(asked, NotUnderstood)
    assert "shops or people" in asked.hints[0]
    named = understand("people by city", schema)
    assert isinstance(named, Query)
    assert '"people"' in named.sql


def test_suggestions_and_examples_are_understood_in_their_form(
    datasets: dict[str, Dataset],
) -> None:
    for dataset in datasets.values():
        found = examples(dataset.schema)
        assert set(found) == set(FORMS)
        for form, question in found.items():
            query = understand(question, dataset.schema)
            assert isinstance(query, Query), question
            assert query.form == form
            dataset.run(query.sql)


def test_hostile_names_and_values_stay_names_and_values() -> None:
    name, value = 'x"; DROP TABLE t; --', "a'; DROP TABLE t; --"
    schema = Schema((Table("t", (Column(name, "text", (value, "b")), Column("n", "number")), 2),))
    query = understand(f'total n where x is "{value}"', schema)
    assert isinstance(query, NotUnderstood) or "''; DROP" in query.sql
    query = understand("n by x drop table t", schema)
    assert isinstance(query, Query)
    assert '"x""; DROP TABLE t; --"' in query.sql


SOUP = """
cost team research openai gpt-4o top 3 5 by per month day week between and 2025-03-01 March may 2025
not or vs compare total average count how many rows where is contains > < >= = , last since until
from to "x'y" 'a' tokens latency over time cheapest 99999 -5 $3.50 % 0000-00 9999-12-31 q1 table
"""
WORDS = st.sampled_from(SOUP.split())


@settings(
    max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@example("count team 2025-03-01 average openai")
@given(st.one_of(st.text(max_size=200), st.lists(WORDS, max_size=14).map(" ".join)))
def test_any_text_is_understood_or_not_and_never_raises(
    datasets: dict[str, Dataset], text: str
) -> None:
    for dataset in datasets.values():
        result = understand(text, dataset.schema)
        if isinstance(result, Query):
            assert len(duckdb.extract_statements(result.sql)) == 1
            dataset.run(result.sql)  # what is understood also runs
        else:
            assert result.suggestions
