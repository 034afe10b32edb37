"""Every clause of the store's interface has a check of its number, which runs on every store."""

from __future__ import annotations

import re

import pytest

from goldenpath.store import interface
from tests.architecture.sources import ROOT
from tests.store.clauses import CHECKS

CLAUSES = re.findall(r"^ ([A-Z]\d+)  ", interface.__doc__ or "", re.MULTILINE)
STORES = [path.parent.name for path in (ROOT / "src/goldenpath/store").glob("*/__init__.py")]


def test_the_clauses_are_numbered_without_gap_or_repeat() -> None:
    for letter in dict.fromkeys(clause[0] for clause in CLAUSES):
        numbers = [int(clause[1:]) for clause in CLAUSES if clause[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1)), letter
    assert len(CLAUSES) > 30


def test_each_clause_has_a_check_and_each_check_a_clause() -> None:
    assert set(CLAUSES) == {name.split("_")[0].upper() for name in CHECKS}


@pytest.mark.parametrize("store", STORES)
def test_a_store_is_held_to_the_clauses(store: str) -> None:
    """A new package in `store/` cannot be forgotten."""
    assert f'"{store}' in (ROOT / "tests" / "store" / "test_conformance.py").read_text()
