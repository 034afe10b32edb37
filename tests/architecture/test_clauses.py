"""Every clause of the store's interface has a test of its number, which runs on every store."""

from __future__ import annotations

import re

import pytest

from goldenpath.store import interface
from tests.architecture.sources import ROOT

CLAUSES = re.findall(r"^ ([A-Z]\d+)  ", interface.__doc__ or "", re.MULTILINE)
SUITE = ROOT / "tests" / "store" / "test_conformance.py"


def test_the_clauses_are_numbered_without_gap_or_repeat() -> None:
    for letter in dict.fromkeys(clause[0] for clause in CLAUSES):
        numbers = [int(clause[1:]) for clause in CLAUSES if clause[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter
    assert len(CLAUSES) > 30


@pytest.mark.parametrize("clause", CLAUSES)
def test_a_clause_has_a_test(clause: str) -> None:
    assert re.search(rf"def test_{clause.lower()}[_(]", SUITE.read_text(encoding="utf-8"))
