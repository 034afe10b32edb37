"""Without a configuration: roles are found by what classes do, and `init` writes what `audit` then reads."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
from ssot.analysis import analyse
from ssot.cli import main
from ssot.config import Config
from ssot.discover import Proposal, discover
from ssot.roles.candidates import Search

from tests.conftest import ENGINE, FIXTURES, OLD, Plant

CANONICALS = {
    "tangle": {"app.engine.user_engine:UserEngine", "app.events.emitter:EventEmitter"},
    "thicket": {"shop.payments.client:PaymentClient", "shop.settings:Settings"},
}


def proposals(root: Path) -> list[Proposal]:
    project = analyse(root, config=Config()).project
    return discover(project, Search(project))


@pytest.mark.parametrize("fixture", CANONICALS)
def test_the_roles_of_a_tree_are_found_with_their_rivals_and_without_decoys(fixture: str) -> None:
    """Whoever wrote the truth tables did not know how roles are looked for."""
    truth = json.loads((FIXTURES / fixture / "truth.json").read_text())["roles"]
    found = proposals(FIXTURES / fixture / "tree")
    assert {one.canonical for one in found} == CANONICALS[fixture]
    rivals = {
        m["symbol"] for role in truth.values() for m in role["members"]
        if m["relation"] == "rival" and m["area"] in ("app", "tooling")
    }  # fmt: skip
    decoys = {symbol for role in truth.values() for symbol in role["decoys"]}
    kin = {kin.symbol for one in found for kin in one.kin}
    assert rivals <= kin and kin.isdisjoint(decoys)


def test_a_name_that_says_nothing_and_one_that_only_sounds_alike(plant: Plant) -> None:
    root = plant({
        "app/__init__.py": "",
        "app/engine.py": ENGINE, "app/other.py": OLD,
        "app/use.py": "from app.engine import Engine\n",
        "app/conductor.py": ENGINE.replace("Engine", "Conductor"),
        "app/search.py": "class SearchEngine:\n    def query(self): return 1\n    def rank(self): return 2\n",
        "app/pool.py": "from app.engine import Engine\nclass PoolEngine(Engine):\n    def run(self): return 3\n",
    })  # fmt: skip
    (found,) = proposals(root)
    assert (found.name, found.canonical) == ("engine", "app.engine:Engine")
    likeness = {kin.symbol.rpartition(":")[2]: kin.likeness for kin in found.kin}
    assert likeness.keys() == {"OldEngine", "Conductor", "PoolEngine"}
    assert likeness["OldEngine"] > likeness["Conductor"]


def test_classes_that_share_an_implementation_are_no_rivals(plant: Plant) -> None:
    root = plant({
        "app/__init__.py": "",
        "app/base.py": "class Field:\n    def clean(self): return 1\n    def show(self): return 2\n",
        "app/fields.py": "from app.base import Field\n\n\nclass Text(Field):\n    def clean(self): return 3\n"
        "\n\nclass Number(Field):\n    def clean(self): return 4\n    def show(self): return 5\n",
    })  # fmt: skip
    assert proposals(root) == []


@pytest.mark.parametrize("fixture", CANONICALS)
def test_what_init_writes_is_a_configuration(
    fixture: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = FIXTURES / fixture / "tree"
    root = plant({p.relative_to(tree).as_posix(): p.read_text(errors="surrogateescape")
                  for p in tree.rglob("*.py") if p.is_file() and _is_text(p)})  # fmt: skip
    assert main(["audit", "--root", str(root)]) == 0
    assert "these roles are proposals" in capsys.readouterr().out
    assert main(["init", "--root", str(root)]) == 0
    written = tomllib.loads((root / "ssot.toml").read_text())["roles"]
    assert {one["canonical"] for one in written.values()} == CANONICALS[fixture]
    assert main(["init", "--root", str(root)]) == 1  # it does not write over one
    capsys.readouterr()
    assert main(["audit", "--json", "--root", str(root)]) == 0
    roles = json.loads(capsys.readouterr().out)["roles"]
    for role in roles.values():
        assert sum(one["relation"] == "rival" for one in role["members"]) > 3


def _is_text(path: Path) -> bool:
    try:
        path.read_text()
    except UnicodeDecodeError:
        return False
    return True
