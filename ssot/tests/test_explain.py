"""A number is explained by the definitions that give it, or refuted if one was given."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ssot.cli import main

from tests.conftest import BASE, OLD, Plant, copy_of, git, repository

TREE = {
    **BASE,
    "app/old.py": OLD,
    **{f"app/use{n}.py": "from app.old import OldEngine\nfrom app.old import OldEngine as O\n" for n in range(7)},
    "docs/why.md": "Today 7 files import the old engine, and 70 more will.\n",
}  # fmt: skip


def explained(
    root: Path, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0
) -> dict[str, object]:
    assert main(["explain", *arguments, "--json", "--root", str(root)]) == code
    return json.loads(capsys.readouterr().out)


def definitions(found: dict[str, object]) -> dict[str, int]:
    return {one["definition"]: one["count"] for one in found["matches"]}  # type: ignore[attr-defined]


def test_a_number_and_its_definitions(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant(TREE)
    found = explained(root, capsys, "7")
    names = definitions(found)
    assert names["files that import app.old:OldEngine"] == 7
    assert found["tried"] > 100  # type: ignore[operator]
    assert found["written_at"] == [{"path": "docs/why.md", "line": 1}]
    (match,) = [
        m for m in found["matches"] if m["definition"] == "files that import app.old:OldEngine"
    ]  # type: ignore[attr-defined]
    assert match["files"] == [f"app/use{n}.py" for n in range(7)]
    assert definitions(explained(root, capsys, "14+"))["statements that import engine: rival"] == 14
    assert definitions(explained(root, capsys, "2"))["classes of engine: canonical or rival"] == 2


def test_names_that_are_given(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(plant(TREE), capsys, "7", "--names", "OldEngine,Engine")
    assert "files that import the names given" in definitions(found)


def test_refuted_is_only_what_was_given(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = plant(TREE)
    given = ("--definition", "files that import app.old:OldEngine")
    assert explained(root, capsys, "53", *given, code=1)["refuted"]["count"] == 7  # type: ignore[index]
    assert explained(root, capsys, "7", *given)["refuted"] is None
    nothing = explained(root, capsys, "9999")
    assert nothing["refuted"] is None and nothing["matches"] == [] and nothing["nearest"]


def test_at_a_revision(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = repository(plant(TREE))
    (root / "app/use0.py").unlink()
    git(root, "commit", "--all", "--message", "less")
    name = "files that import app.old:OldEngine"
    assert definitions(explained(root, capsys, "6"))[name] == 6
    assert definitions(explained(root, capsys, "7", "--at", "HEAD~1"))[name] == 7


def test_a_number_of_the_fixture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = explained(copy_of("tangle", tmp_path / "tree"), capsys, "12")
    assert "classes of engine: canonical or rival in app and tooling" in definitions(found)
