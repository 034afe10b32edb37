"""docs/security.md: every promise names tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()


def test_every_promise_is_kept_by_tests_that_there_are() -> None:
    promises = re.search(r"## Promises\n(.*?)\n## ", PAGE, re.DOTALL)
    assert promises is not None
    rows = [line for line in promises[1].splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 25
    for row in rows:
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, name in named:
            tree = ast.parse((ROOT / file).read_text())
            defined = {
                node.name
                for node in tree.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
            assert name in defined, f"{file}::{name}"


def test_every_test_of_this_folder_keeps_a_promise() -> None:
    for file in Path(__file__).parent.glob("test_*.py"):
        if file.name in ("test_threat_model.py",):
            continue
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE):
            if name not in _ABOUT_THE_TESTS:
                assert name in PAGE, f"{file.name}::{name}"


_ABOUT_THE_TESTS = {
    "test_a_slow_handler_is_no_slow_header",
    "test_what_we_depend_on_is_licensed_permissively",
}
