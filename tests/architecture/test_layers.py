"""The layers hold, and every room is in them."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.sources import ROOT, SOURCES

_PACKAGE = ROOT / "src" / "goldenpath"


def test_the_import_rules_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    ended = subprocess.run([linter], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_room_is_in_a_layer_or_under_a_contract() -> None:
    """A new folder cannot stand outside of the rules."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(one["layers"] for one in contracts if one["type"] == "layers")
    known = {name.strip(" ()") for layer in layers for name in layer.split("|")} | {"client"}
    rooms = {path.name for path in _PACKAGE.iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.stem for path in _PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert rooms <= known, rooms - known


def test_architecture_shows_every_room() -> None:
    page = (ROOT / "ARCHITECTURE.md").read_text()
    for path in _PACKAGE.iterdir():
        if (path / "__init__.py").exists():
            assert f"`{path.name}`" in page, path.name


def test_no_module_is_too_long() -> None:
    lengths = {path: len(path.read_text().splitlines()) for path in SOURCES}
    assert not {str(path.relative_to(ROOT)): n for path, n in lengths.items() if n > 800}


def test_production_code_imports_no_test_double() -> None:
    """Nothing but the bench of the standard workloads looks into `testing`, and then late."""
    for path in SOURCES:
        if "testing" in path.parts:
            continue
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not [name for name in names if name.startswith("goldenpath.testing")], path


def test_every_module_says_what_it_is() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in SOURCES
        if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent
