"""From twelve engines to one, with one step by hand; and no sabotaged step passes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from ssot.analysis import Analysis, analyse, analyse_contents
from ssot.change.edits import Edit, apply
from ssot.change.gates import static_gates
from ssot.change.plan import Plan, Step, plan
from ssot.cli import main
from ssot.roles.audit import audit

from tests.conftest import BASE, FIXTURES, OLD, Plant, copy_of, git, repository

PYTEST = f"{sys.executable} -m pytest"
TREE = {
    **BASE,
    "app/old.py": OLD,
    "app/use.py": "from app.old import OldEngine\n\n\ndef go():\n    return OldEngine().run()\n",
    "tests/test_use.py": "from app.use import go\n\n\ndef test_go():\n    assert go() == 1\n",
}


def engines(root: Path) -> int:
    """The canonical and its rivals in the app and its tools."""
    analysis = analyse(root)
    members = audit(analysis, analysis.config.roles).roles["engine"].members
    return sum(
        m.relation in ("canonical", "rival") and m.area in ("app", "tooling") for m in members
    )


def migrate(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    main(["migrate", "--role", "engine", "--json", "--root", str(root), *more])
    return json.loads(capsys.readouterr().out)


@pytest.mark.timeout(600)
def test_twelve_engines_become_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = copy_of("tangle", tmp_path / "tree")
    assert engines(root) == 12
    before = git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")
    first = migrate(root, capsys, "--tests", PYTEST)
    assert first["refused"] == []
    assert first["manual"]["target"] == "app.engine.graph_engine:GraphEngine"  # type: ignore[index]
    assert first["manual"]["differences"]  # type: ignore[index]
    worktree = Path(str(first["worktree"]))
    assert engines(worktree) == 2
    assert migrate(root, capsys, "--tests", PYTEST)["done"] == []  # it waits for the person
    shutil.copytree(FIXTURES / "tangle" / "manual", worktree, dirs_exist_ok=True)
    git(worktree, "commit", "--all", "--message", "Use the canonical in workflows")
    second = migrate(root, capsys, "--tests", PYTEST)
    assert (second["refused"], second["manual"], second["left"]) == ([], None, 0)
    assert engines(worktree) == 1
    assert (git(root, "status", "--porcelain"), git(root, "rev-parse", "HEAD")) == before
    commits = git(root, "rev-list", "--count", "main..ssot/engine")
    assert int(commits) == len(first["done"]) + 1 + len(second["done"])  # type: ignore[arg-type]
    assert main(["gate", "main", "ssot/engine", "--root", str(root)]) == 0
    assert main(["guard", "--write", "--root", str(worktree)]) == 0
    assert main(["guard", "--root", str(worktree)]) == 0


# -- sabotage --------------------------------------------------------------------------------------


class InMemory:
    """A tree that is changed step by step without a disk."""

    def __init__(self, fixture: str) -> None:
        self.root = FIXTURES / fixture / "tree"
        self.texts = {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*") if path.suffix in (".py", ".md")
        }  # fmt: skip
        self.config = analyse(self.root).config

    def analysis(self, texts: dict[str, bytes] | None = None) -> Analysis:
        return analyse_contents(self.root, self.config, self.texts if texts is None else texts)

    def plan(self, analysis: Analysis) -> Plan:
        found = audit(analysis, self.config.roles)
        return plan(found, found.roles["engine"])

    def after(self, edits: list[Edit]) -> dict[str, bytes]:
        texts = dict(self.texts)
        for path in {edit.path for edit in edits}:
            text = apply(texts[path], [edit for edit in edits if edit.path == path])
            if text is None:
                del texts[path]
            else:
                texts[path] = text
        return texts


def sabotaged(step: Step) -> tuple[list[Edit], set[str]]:
    """A step with a mistake in it, and the gates that may find it."""
    code = [edit for edit in step.edits if edit.path.endswith(".py")]
    if step.kind == "delete":
        one = code[0]
        if one.delete:  # something of it is left
            return [Edit(one.path, 0, one.end, b"class Left(\n", 1)], {"parse"}
        return [*step.edits, Edit(one.path, one.end, one.end, b"left = (\n", one.line)], {"parse"}
    statements = [edit for edit in code if b"import " in edit.after]
    if statements:
        one = statements[0]
        wrong = one.after.replace(b"import UserEngine", b"import UserEngines")
        if wrong == one.after:
            wrong = one.after.rstrip(b"\n") + b"s"
        return [wrong_edit(edit, one, wrong) for edit in step.edits], {"imports", "names"}
    quoted = [edit for edit in code if edit.after[:1] in (b"'", b'"')]
    if quoted:  # prose can be wrong in no way that a gate sees
        one = quoted[0]
        return [wrong_edit(edit, one, one.after + b"'") for edit in step.edits], {"parse"}
    return [], set()


def wrong_edit(edit: Edit, one: Edit, after: bytes) -> Edit:
    return Edit(one.path, one.start, one.end, after, one.line) if edit == one else edit


@pytest.mark.timeout(600)
def test_a_sabotaged_step_is_refused_by_its_gate() -> None:
    tree = InMemory("tangle")
    analysis = tree.analysis()
    tried: dict[str, int] = {}
    done: set[str] = set()
    while True:
        steps = [step for step in tree.plan(analysis).steps if step.kind != "manual"]
        ids = {step.id for step in steps}
        step = next((s for s in steps if not ids.intersection(s.needs) and s.id not in done), None)
        if step is None:
            break
        done.add(step.id)
        edits, gates = sabotaged(step)
        if edits:
            results = static_gates(analysis, tree.analysis(tree.after(edits)))
            closed = {result.gate for result in results if not result.ok}
            assert closed & gates, (step.id, closed)
            tried[step.kind] = tried.get(step.kind, 0) + 1
        after = tree.analysis(texts := tree.after(step.edits))
        assert all(result.ok for result in static_gates(analysis, after)), step.id
        tree.texts, analysis = texts, after
    assert tried.keys() >= {"delete", "rewrite_imports", "rewrite_strings"}
    assert sum(tried.values()) > 40


def test_a_step_that_breaks_a_test_is_taken_back(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    other = OLD.replace("return 1", "return 10")
    root = repository(plant(TREE | {
        "app/old.py": other, "tests/test_use.py": TREE["tests/test_use.py"].replace("== 1", "== 10"),
    }))  # fmt: skip
    found = migrate(root, capsys, "--tests", PYTEST)
    assert found["done"] == []
    (refused,) = found["refused"]  # type: ignore[misc]
    assert refused["why"].startswith("gate tests: tests.test_use::test_go")
    worktree = Path(str(found["worktree"]))
    assert git(worktree, "status", "--porcelain") == ""
    assert (worktree / "app/old.py").read_text() == other


def test_the_golden_path_is_a_gate(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = repository(plant(TREE | {"golden.sh": "grep -q OldEngine app/use.py\n"}))
    (refused,) = migrate(root, capsys, "--check", "sh golden.sh")["refused"]  # type: ignore[misc]
    assert refused["why"].startswith("gate check")
    root2 = migrate(root, capsys, "--check", "sh golden.sh")
    assert root2["done"] == [] and root2["refused"] == [refused]  # what was refused is remembered


def test_old_failures_do_not_block(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    bad = TREE["tests/test_use.py"] + "\n\ndef test_never():\n    assert go() == 2\n"
    root = repository(plant(TREE | {"tests/test_use.py": bad}))
    found = migrate(root, capsys, "--tests", PYTEST)
    assert (found["refused"], found["left"]) == ([], 0)
    worktree = Path(str(found["worktree"]))
    assert (worktree / "app/use.py").read_text() == TREE["app/use.py"].replace(
        "OldEngine", "Engine"
    ).replace("app.old", "app.engine")
    assert not (worktree / "app/old.py").exists()


def test_a_dry_run_changes_nothing(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = repository(plant(TREE))
    found = migrate(root, capsys, "--dry-run")
    assert [step["kind"] for step in found["done"]] == ["rewrite_imports", "delete"]  # type: ignore[attr-defined]
    assert git(root, "branch", "--list") == "* main"


def test_only_the_steps_of_a_given_plan_are_made(
    plant: Plant, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = repository(plant(TREE))
    assert main(["plan", "--json", "--root", str(root)]) == 0
    document = json.loads(capsys.readouterr().out)
    document["steps"] = document["steps"][:1]
    file = tmp_path_factory.mktemp("plan") / "plan.json"
    file.write_text(json.dumps(document))
    found = migrate(root, capsys, "--plan", str(file))
    assert [one["id"] for one in found["done"]] == [
        "rewrite_imports app.old:OldEngine in app/use.py"
    ]  # type: ignore[attr-defined]
    assert found["left"] == 1
    rest = migrate(root, capsys)
    assert [one["id"] for one in rest["done"]] == ["delete app.old:OldEngine"]  # type: ignore[attr-defined]


def test_a_commit_by_hand_must_pass_the_gates(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE))
    worktree = Path(str(migrate(root, capsys)["worktree"]))
    (worktree / "app/more.py").write_text("from app.engine import nothing\n")
    git(worktree, "add", "--all")
    git(worktree, "commit", "--message", "by hand")
    assert main(["migrate", "--role", "engine", "--root", str(root)]) == 1
    assert "gate imports: app/more.py:1" in capsys.readouterr().err


def test_a_retired_module_is_resurrected_by_a_merge(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE))
    assert main(["guard", "--write", "--root", str(root)]) == 0
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "baseline")
    capsys.readouterr()
    worktree = Path(str(migrate(root, capsys)["worktree"]))
    assert main(["guard", "--tighten", "--root", str(worktree)]) == 0
    (worktree / "app/old.py").write_text(OLD)
    assert main(["guard", "--root", str(worktree)]) == 1
    assert "resurrected" in capsys.readouterr().out


def test_the_gate_of_anybodys_change(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = repository(plant(TREE))
    (root / "app/old.py").write_text(OLD.replace("return 1", "return 7"))
    (root / "app/more.py").write_text(
        "import os\nfrom app.engine import gone\n\n\ndef f():\n    return nowhere\n"
    )
    (root / "app/bad.py").write_text("def (:\n")
    (root / "app/late.py").write_text("return 1\n")
    git(root, "add", "--all")
    git(root, "commit", "--message", "worse")
    assert main(["gate", "HEAD~1", "HEAD", "--tests", PYTEST, "--json", "--root", str(root)]) == 1
    gates = {one["gate"]: one for one in json.loads(capsys.readouterr().out)["gates"]}
    assert {name: [bad["path"] for bad in one["new"]] for name, one in gates.items()} == {
        "parse": ["app/bad.py"], "imports": ["app/more.py"], "names": ["app/more.py"],
        "compile": ["app/late.py"], "new-imports": ["app/more.py"], "tests": ["tests.test_use"],
    }  # fmt: skip
    assert main(["gate", "HEAD", "HEAD~1", "--tests", PYTEST, "--root", str(root)]) == 0
    assert git(root, "worktree", "list").count("\n") == 0
    git(root, "mv", "app/use.py", "app/used.py")  # a rename is no new mistake
    git(root, "commit", "--message", "rename")
    capsys.readouterr()
    assert main(["gate", "HEAD~1", "HEAD", "--json", "--root", str(root)]) == 1
    closed = [one["gate"] for one in json.loads(capsys.readouterr().out)["gates"] if not one["ok"]]
    assert closed == ["imports"]  # the test still asks for app.use


def test_what_is_looked_up_by_a_string_is_not_dead(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    names = 'BACKENDS = {"old": "app.old:OldEngine"}\n'
    more = OLD + "    def pause(self): return 3\n"
    root = repository(
        plant(TREE | {"app/old.py": more, "app/use.py": names, "tests/test_use.py": ""})
    )
    found = migrate(root, capsys)
    assert found["done"] == []
    assert found["manual"]["target"] == "app.old:OldEngine"  # type: ignore[index]
    (difference,) = found["manual"]["differences"]  # type: ignore[index]
    assert (difference["path"], difference["line"]) == ("app/use.py", 1)
