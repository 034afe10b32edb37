"""Both fixtures: what is found is what their truth tables say, no more and no less."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import pytest
from ssot.analysis import analyse
from ssot.change.plan import plan
from ssot.roles.audit import audit

from tests.truth import Rows, compare

HERE = Path(__file__).parent
FIXTURES = ("tangle", "thicket")
CATEGORIES = (
    "broken", "constructions", "decoys", "drift", "members", "modules", "refs", "routes", "tests",
    "trust", "unparsed", "vocabularies",
)  # fmt: skip


@cache
def compared(fixture: str) -> tuple[Rows, Rows, Rows]:
    return compare(HERE / fixture)


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize("fixture", FIXTURES)
def test_precision_and_recall_are_one(fixture: str, category: str) -> None:
    right, missing, extra = compared(fixture)
    assert not missing[category]
    assert not extra[category]
    assert right[category].total() >= 2


@pytest.mark.parametrize("fixture", FIXTURES)
def test_the_plan_leaves_to_a_person_what_it_must_and_keeps_what_it_must(fixture: str) -> None:
    truth = json.loads((HERE / fixture / "truth.json").read_text())["plan"]
    analysis = analyse(HERE / fixture / "tree")
    found = audit(analysis, analysis.config.roles)
    plans = [plan(found, role) for role in found.roles.values()]
    manual = {step.target for one in plans for step in one.steps if step.kind == "manual"}
    assert manual == set(truth["manual"])
    assert {symbol for one in plans for symbol, _ in one.kept} >= set(truth["kept"])
