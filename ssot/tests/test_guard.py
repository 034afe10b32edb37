"""The ratchet: what is wrong may only become less, and what was retired stays away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ssot.analysis import analyse
from ssot.cli import main
from ssot.guard import violations
from ssot.roles.audit import audit

from tests.conftest import BASE, OLD, Plant, copy_of, repository

TREE = {
    **BASE,
    "app/old.py": OLD,
    "app/use.py": "from app.old import OldEngine\n\nOldEngine().run()\n",
    "app/ghost.py": "def go():\n    from app.fast import FastEngine\n    return FastEngine\n",
}


@pytest.fixture
def root(plant: Plant, capsys: pytest.CaptureFixture[str]) -> Path:
    folder = plant(TREE)
    assert main(["guard", "--write", "--root", str(folder)]) == 0
    capsys.readouterr()
    return folder


def judged(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, list[str]]:
    code = main(["guard", "--json", "--root", str(root), *more])
    found = json.loads(capsys.readouterr().out)
    assert code == (0 if found["ok"] else 1)
    return {name: [f"{v['rule']} {v['path']}" for v in found[name]]
            for name in ("new", "stale", "slack", "resurrected")}  # fmt: skip


NOTHING: dict[str, list[str]] = {"new": [], "stale": [], "slack": [], "resurrected": []}


def test_what_was_there_is_known(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(root, capsys) == NOTHING
    path = root / "app/use.py"
    path.write_text("# moved\n\n" + path.read_text())  # a key has no line
    assert judged(root, capsys) == NOTHING


def test_a_new_violation_fails(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "app/more.py").write_text("from app.old import OldEngine\n")
    assert judged(root, capsys)["new"] == ["noncanonical-import app/more.py"]
    assert main(["guard", "--tighten", "--root", str(root)]) == 1  # it never widens
    capsys.readouterr()
    assert judged(root, capsys)["new"] == ["noncanonical-import app/more.py"]


def test_slack_and_stale_entries_fail_until_they_are_tightened(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "app/use.py").write_text("from app.engine import Engine\n\nEngine().run()\n")
    assert judged(root, capsys)["stale"] == ["noncanonical-import app/use.py"]
    assert main(["guard", "--tighten", "--root", str(root)]) == 0
    capsys.readouterr()
    assert judged(root, capsys) == NOTHING
    two = "def a():\n    from app.old import OldEngine\n\n\ndef b():\n    from app.old import OldEngine\n"
    (root / "app/use.py").write_text(two)
    main(["guard", "--write", "--root", str(root)])
    (root / "app/use.py").write_text(two.partition("def b")[0])
    capsys.readouterr()
    assert judged(root, capsys)["slack"] == ["noncanonical-import app/use.py"]


def test_a_ghost_that_comes_back_is_resurrected(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "app/fast.py").write_text("class FastEngine:\n    pass\n")
    assert judged(root, capsys)["resurrected"] == ["resurrected app/fast.py"]


def test_what_is_retired_stays_away(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    baseline = root / "ssot-baseline.json"
    document = json.loads(baseline.read_text())
    document["retired"] = ["app.older", "app.use:helper"]
    baseline.write_text(json.dumps(document))
    assert judged(root, capsys) == NOTHING
    (root / "app/older.py").write_text("")
    (root / "app/use.py").write_text(TREE["app/use.py"] + "\n\ndef helper():\n    pass\n")
    assert judged(root, capsys)["resurrected"] == [
        "resurrected app/older.py",
        "resurrected app/use.py",
    ]


def test_a_comment_allows_and_is_counted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = (
        "from app.old import OldEngine  # ssot: allow noncanonical-import -- the importer of 2.x\n"
    )
    (root / "app/more.py").write_text(line)
    assert judged(root, capsys) == NOTHING
    (root / "app/more.py").write_text(line.replace(" -- the importer of 2.x", ""))
    assert judged(root, capsys)["new"] == ["noncanonical-import app/more.py"]
    (root / "app/more.py").write_text(line.replace("noncanonical-import", "alias"))
    assert judged(root, capsys)["new"] == ["noncanonical-import app/more.py"]


def test_diff_looks_at_changed_files_only(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "app/more.py").write_text("from app.old import OldEngine\n")
    repository(root)
    assert judged(root, capsys, "--diff", "HEAD") == NOTHING
    (root / "app/third.py").write_text("from app.old import OldEngine\n")
    assert judged(root, capsys, "--diff", "HEAD")["new"] == ["noncanonical-import app/third.py"]
    assert len(judged(root, capsys)["new"]) == 2


def test_formats_for_programs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "app/more.py").write_text("from app.old import OldEngine\n")
    assert main(["guard", "--format", "sarif", "--root", str(root)]) == 1
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]["startLine"]) == ("app/more.py", 1)
    assert result["ruleId"] in {rule["id"] for rule in run["tool"]["driver"]["rules"]}
    assert main(["guard", "--format", "github", "--root", str(root)]) == 1
    assert capsys.readouterr().out.startswith("::error file=app/more.py,line=1,title=ssot noncan")


@pytest.mark.parametrize("fixture", ["tangle", "thicket"])
def test_looking_at_some_files_finds_what_is_in_them(fixture: str, tmp_path: Path) -> None:
    root = copy_of(fixture, tmp_path / "tree")
    analysis = analyse(root)
    whole, _ = violations(audit(analysis, analysis.config.roles))
    assert len({one.path for one in whole}) > 15
    paths = sorted(analysis.project.by_path)
    for some in (set(paths[::2]), set(paths[1::2])):
        found = audit(analysis, analysis.config.roles, imports_only=True, within=some)
        assert violations(found)[0] == [one for one in whole if one.path in some]


def test_only_one_way_at_a_time(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (root / "ssot-baseline.json").read_bytes()
    with pytest.raises(SystemExit) as ended:
        main(["guard", "--tighten", "--diff", "HEAD", "--root", str(root)])
    assert ended.value.code == 2 and "not allowed with" in capsys.readouterr().err
    assert (root / "ssot-baseline.json").read_bytes() == before
