"""Each rule finds what its invalid cases show, and nothing in its valid ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from ssot.analysis import analyse
from ssot.roles.audit import audit
from ssot.rules import RULES, Case, Rule

CASES = [
    pytest.param(rule, case, id=f"{name}: {case.title}")
    for name, rule in RULES.items()
    for case in (*rule.valid, *rule.invalid)
]


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_case(rule: Rule, case: Case, tmp_path: Path) -> None:
    for path, text in case.files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    found = audit(analysis := analyse(tmp_path), analysis.config.roles)
    assert sorted((v.path, v.line) for v in rule.find(found)) == sorted(case.found)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_rule_shows_both(rule: Rule) -> None:
    assert rule.valid and rule.invalid and all(case.found for case in rule.invalid)
    assert not any(case.found for case in rule.valid)
