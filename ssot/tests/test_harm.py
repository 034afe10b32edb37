"""First, do no harm: after a migration the code does what it did, or a person was asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ssot.cli import main

from tests.conftest import BASE, ENGINE, OLD, Plant, git, repository

USE = "from app.old import OldEngine\n"
GO = USE + "\n\ndef go():\n    return OldEngine().run()\n"
MORE = OLD + "    def pause(self): return 3\n"
TREE = {**BASE, "app/old.py": OLD}
RUNS = "from app.use import go; assert go() == 1"


def migrated(root: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    main(["migrate", "--role", "engine", "--json", "--root", str(root), *more])
    return json.loads(capsys.readouterr().out)


def worktree(root: Path) -> Path:
    return root / ".git/ssot/engine/tree"


def runs(folder: Path, code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr


def use(text: str, **more: str) -> dict[str, str]:
    return {"app/use.py": text} | {
        name.replace("__", "/") + ".py": body for name, body in more.items()
    }


MANUAL: dict[str, dict[str, str]] = {
    "arguments in another order": {
        "app/engine.py": ENGINE.replace("run(self)", "run(self, b, a)"),
        "app/old.py": OLD.replace("run(self)", "run(self, a, b)"),
        **use(USE + "\n\ndef go():\n    return OldEngine().run(5, 3)\n"),
    },
    "arguments that nobody counts": {
        "app/old.py": OLD.replace("run(self)", "run(self, *a)"),
        **use(USE + "\n\ndef go(*a):\n    return OldEngine().run(*a)\n"),
    },
    "an attribute of the class": {
        "app/old.py": OLD + "    LIMIT = 1\n",
        **use(USE + "\n\ndef go():\n    return OldEngine.LIMIT\n"),
    },
    "a method that is handed on": {"app/old.py": MORE, **use(USE + "\nPAUSE = map(OldEngine.pause, [])\n")},
    "with": {
        "app/old.py": OLD + "    def __enter__(self): return self\n    def __exit__(self, *a): pass\n",
        **use(USE + "\n\ndef go():\n    with OldEngine() as e:\n        return e.run()\n"),
    },
    "a property": {
        "app/old.py": OLD.replace("    def run", "    @property\n    def run"),
        **use(USE + "\n\ndef go():\n    return OldEngine().run\n"),
    },
    "a class method": {
        "app/old.py": OLD.replace("    def run(self)", "    @classmethod\n    def run(cls)"),
        **use(USE + "\n\ndef go():\n    return OldEngine.run()\n"),
    },
    "a generator": {
        "app/old.py": OLD.replace("return 1", "yield 1"),
        **use(USE + "\n\ndef go():\n    return list(OldEngine().run())\n"),
    },
    "except": {
        "app/old.py": OLD.replace("OldEngine:", "OldEngine(ValueError):"),
        **use(USE + "\n\ndef go():\n    try:\n        raise OldEngine\n    except OldEngine as e:\n        return e.run()\n"),
    },
    "a base of its own": {
        "app/old.py": "class Base: pass\n\n\n" + OLD.replace("OldEngine:", "OldEngine(Base):"),
        **use("from app.old import Base, OldEngine\n\n\ndef go():\n    return isinstance(OldEngine(), Base)\n"),
    },
    "an instance that goes elsewhere": {
        "app/old.py": MORE,
        **use(USE + "from app.other import deal\n\n\ndef go():\n    return deal(OldEngine())\n",
              app__other="def deal(e):\n    return e.pause()\n"),
    },
    "an instance in an attribute": {
        "app/old.py": MORE,
        **use(USE + "\n\nclass C:\n    def __init__(self):\n        self.e = OldEngine()\n\n\ndef go():\n    return C().e.pause()\n"),
    },
    "a name by text": use("import app.old as o\n\n\ndef go():\n    return getattr(o, 'OldEngine')().run()\n"),
    "a name from a star": use("from app.old import *\n\n\ndef go():\n    return OldEngine().run() + LIMIT\n")
    | {"app/old.py": OLD + "\n\nLIMIT = 3\n"},
    "a registering decorator": {
        "app/reg.py": "R = {}\n\n\ndef register(n):\n    return lambda c: R.setdefault(n, c)\n",
        "app/old.py": "from app.reg import register\n\n\n@register('old')\n" + OLD,
        **use("import app.old\nfrom app.reg import R\n\n\ndef go():\n    return R['old']().run()\n"),
    },
    "an entry point": {"setup.cfg": "[options.entry_points]\nconsole_scripts =\n    old = app.old:OldEngine\n"},
    "a configuration": {"conf/service.yaml": "engine: app.old.OldEngine\n"},
    "a circle of imports": {
        "app/engine.py": "from app.use import helper\n\n\n" + ENGINE.replace("return 1", "return helper()"),
        **use("from app.old import OldEngine\n\n\ndef helper():\n    return 1\n\n\ndef go():\n    return OldEngine().run()\n"),
    },
    "its own __all__": {"app/old.py": '__all__ = ["OldEngine"]\n\n\n' + OLD},
    "another encoding": {},
}  # fmt: skip


@pytest.mark.parametrize("name", MANUAL)
def test_what_is_not_understood_is_left_to_a_person(
    name: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(TREE | MANUAL[name])
    if name == "another encoding":
        (root / "app/use.py").write_bytes(b"# coding: latin-1\n" + GO.encode() + b'x = "\xe9"\n')
    found = migrated(repository(root), capsys)
    assert found["manual"] is not None and "delete app.old:OldEngine" not in str(found["done"])
    assert (worktree(root) / "app/old.py").exists()


DONE: dict[str, dict[str, str]] = {
    "a local name that is taken": use(
        USE + "\n\ndef other():\n    class Engine: run = 2\n    return OldEngine().run(), Engine\n\n\n"
        "def go():\n    return other()[0]\n"),
    "a local import of that name": use(
        GO + "\n\ndef f():\n    from json import JSONDecoder as OldEngine\n    return OldEngine().decode('1')\n\n\n"
        "assert f() == 1\n"),
    "one of two branches": use(
        "import sys\nif sys.platform == 'nope':\n    from json import JSONDecoder as OldEngine\nelse:\n"
        "    from app.old import OldEngine\n\n\ndef go():\n    return OldEngine().run()\n"),
    "a name in a class": use(
        "class A:\n    from app.old import OldEngine\n\n    def go(self):\n        return self.OldEngine().run()\n\n\n"
        "def go():\n    return A().go()\n"),
    "a value that looks like it": use(
        "from typing import Literal\n" + GO + "\nKIND: Literal['OldEngine'] = 'OldEngine'\n\n\n"
        "assert __annotations__['KIND'].__args__ == ('OldEngine',)\n"),
    "an attribute from another file": use(
        GO, app__reach="import app.use as u\n\nassert u.OldEngine().run() == 1\n"),
    "a star that is imported": use(
        '__all__: list[str] = ["OldEngine"]\n' + GO.replace("go()", "go2()"),
        app__star="from app.use import *\nassert OldEngine().run() == 1\n") | use(GO),
    "a module used as such": use(
        "import app.old\n\nN = vars(app.old)['LIMIT']\n\n\ndef go():\n    return app.old.OldEngine().run() + N - 3\n")
    | {"app/old.py": OLD + "\n\nLIMIT = 3\n"},
    "two statements on a line": use(
        "import os; from app.old import LIMIT, OldEngine; X = 1\n\n\ndef go():\n"
        "    return OldEngine().run() + LIMIT - 3\n") | {"app/old.py": OLD + "\n\nLIMIT = 3\n"},
    "tabs": use("def go():\n\tfrom app.old import LIMIT, OldEngine\n\treturn OldEngine().run() + LIMIT - 3\n")
    | {"app/old.py": OLD + "\n\nLIMIT = 3\n"},
    "the canonical's own name": {
        "app/old.py": "import os\n\n\n" + ENGINE + "\n\ndef helper():\n    return Engine().run()\n",
        **use("from app.old import Engine, helper\n\n\ndef go():\n    return Engine().run() * helper()\n")},
    "a doctest": use(
        '"""\n>>> from app.old import OldEngine\n>>> OldEngine().run()\n1\n"""\nimport doctest, sys\n' + GO
        + "\n\nassert doctest.testmod(sys.modules[__name__]).failed == 0\n"),
    "a logger": use("import logging\n\nassert logging.getLogger('app.old').name == 'app' + '.old'\n" + GO),
    "an alias beside something": {
        "app/names.py": "from app.engine import Engine\nAnEngine = Engine; LIMIT = 3\n",
        **use("from app.names import AnEngine, LIMIT\n\n\ndef go():\n    return AnEngine().run() + LIMIT - 3\n")},
    "a shebang and a licence": {
        "app/old.py": "#!/usr/bin/env python3\n# Licence\n\n" + OLD + "\n\ndef helper():\n    return OldEngine().run()\n",
        **use("from app.old import OldEngine, helper\n\n\ndef go():\n    return OldEngine().run() * helper()\n\n\n"
              "import app.old\nassert open(app.old.__file__).read().startswith('#!/usr/bin/env python3\\n# Licence\\n')\n")},
}  # fmt: skip


@pytest.mark.parametrize("name", DONE)
def test_what_is_moved_does_what_it_did(
    name: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE | DONE[name]))
    code = "; ".join(
        [f"import {p[:-3].replace('/', '.')}" for p in DONE[name] if p.endswith(".py")] + [RUNS]
    )
    runs(root, code)
    found = migrated(root, capsys)
    assert found["done"] and not found["refused"]
    runs(worktree(root), code)
    assert git(root, "status", "--porcelain") == ""


def test_comments_in_lists_stay_with_their_neighbours(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    listing = (
        '__all__ = [\n    "A",  # first\n    "OldEngine",  # engine\n    # group two\n    "B",\n]\n'
    )
    root = repository(plant(TREE | {
        "app/__init__.py": "from app.old import OldEngine\nfrom app.x import A, B\n\n" + listing,
        "app/x.py": "A = B = 1\n", "main.py": "from app import OldEngine\n\nOldEngine().run()\n",
    }))  # fmt: skip
    assert not migrated(root, capsys)["refused"]
    after = (worktree(root) / "app/__init__.py").read_text()
    assert after.endswith('__all__ = [\n    "A",  # first\n    # group two\n    "B",\n]\n')


def test_a_repository_that_the_environment_names_is_not_written(
    plant: Plant, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = repository(plant(TREE | use(GO)))
    head = git(root, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(root / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(root / ".git/index"))
    assert migrated(root, capsys)["done"]
    monkeypatch.delenv("GIT_DIR")
    monkeypatch.delenv("GIT_INDEX_FILE")
    assert git(root, "rev-parse", "HEAD") == head and git(root, "status", "--porcelain") == ""


def test_a_refused_step_leaves_nothing_for_the_next_and_is_tried_again(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE | use(GO) | {"app/use2.py": GO, ".gitignore": "*.pyc\n"}))
    (root / "app/old.py").chmod(0o755)
    git(root, "commit", "--all", "--message", "mode")
    check = f"{sys.executable} -c \"open('log', 'a'); import sys; sys.exit('OldEngine' not in open('app/use.py').read())\""
    found = migrated(root, capsys, "--check", check)
    assert [one["id"] for one in found["refused"]] == [
        "rewrite_imports app.old:OldEngine in app/use.py"
    ]
    assert git(worktree(root), "status", "--porcelain") == ""
    last = git(root, "show", "--format=", "--name-only", "ssot/engine").splitlines()
    assert last == ["app/use2.py"]
    found = migrated(root, capsys)
    assert not found["refused"] and found["left"] == 0


def test_a_check_that_fails_already_judges_nothing(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE | use(GO)))
    command = ["migrate", "--role", "engine", "--root", str(root), "--check"]
    assert main([*command, f"{sys.executable} -c 'raise SystemExit(3)'"]) == 2
    assert "before any step" in capsys.readouterr().err
    assert main([*command, "no-such-command"]) == 2
    assert git(worktree(root), "log", "--format=%s", "main..ssot/engine") == ""


def killed(root: Path, gone_from: str, *more: str) -> list[str]:
    """Start a migration and kill it within the step after which a file does not name the old class;
    gives the command."""
    began = root.parent / f"{root.name}-began"
    script = root.parent / f"{root.name}-check.py"
    script.write_text(
        "import pathlib, time\n"
        f"if 'OldEngine' not in pathlib.Path('{gone_from}').read_text():\n"
        f"    pathlib.Path('{began}').touch()\n    time.sleep(60)\n"
    )
    command = [sys.executable, "-m", "ssot", "migrate", "--role", "engine", "--root", str(root)]
    check = f"{sys.executable} {script}"
    process = subprocess.Popen([*command, *more, "--check", check], stderr=subprocess.DEVNULL)
    while not began.exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return command


def test_a_command_that_is_killed_within_a_step_is_no_matter(plant: Plant) -> None:
    root = repository(plant(TREE | use(GO)))
    command = killed(root, "app/use.py")
    assert git(worktree(root), "status", "--porcelain")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (worktree(root) / "app/old.py").exists()


FAR = TREE | {
    "app/old.py": OLD.replace("return 1", "return 10"),
    "app/use.py": GO, "app/use2.py": GO,
    "app/middle.py": "import app.use\n\n\ndef ask():\n    return app.use.go()\n",
    "app/far.py": "import app.middle\n\n\ndef far():\n    return app.middle.ask()\n",
    "tests/test_far.py": "import app.far\n\n\ndef test_far():\n    assert app.far.far() == 10\n",
    "tests/test_use2.py": "import app.use2\n\n\ndef test_go():\n    assert app.use2.go()\n",
}  # fmt: skip
"""A step in `app/use.py` breaks a test that is two imports away."""
GUILTY = "rewrite_imports app.old:OldEngine in app/use.py"


def test_a_step_that_breaks_a_test_far_away_is_taken_back(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(FAR))
    found = migrated(root, capsys, "--tests", f"{sys.executable} -m pytest")
    assert [one["id"] for one in found["refused"]] == [
        "rewrite_imports app.old:OldEngine in app/use.py"
    ]
    assert "test_far" in found["refused"][0]["why"]
    assert [one["id"] for one in found["done"]] == [
        "rewrite_imports app.old:OldEngine in app/use2.py"
    ]
    assert "OldEngine" in (worktree(root) / "app/use.py").read_text()
    assert "OldEngine" not in (worktree(root) / "app/use2.py").read_text()


def test_steps_of_a_killed_command_are_proved_by_the_next(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(FAR))
    tests = ["--tests", f"{sys.executable} -m pytest"]
    killed(root, "app/use2.py", *tests)
    assert "app/use.py" in git(root, "log", "--format=%B", "main..ssot/engine")
    found = migrated(root, capsys, *tests)
    assert [one["id"] for one in found["refused"]] == [GUILTY]
    assert "OldEngine" in (worktree(root) / "app/use.py").read_text()


def test_the_worktrees_code_is_tested_and_not_the_checkouts(
    plant: Plant, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {
        f"src/{path}" if path.startswith("app/") else path: text for path, text in TREE.items()
    }
    root = repository(plant(files | {
        "pyproject.toml": "[project]\nname = 'app'\nversion = '1'\n",
        "src/app/old.py": OLD.replace("return 1", "return 10"), "src/app/use.py": GO,
        "tests/test_use.py": "import app.use\n\n\ndef test_go():\n    assert app.use.go() == 10\n",
    }))  # fmt: skip
    monkeypatch.setenv("PYTHONPATH", str(root / "src"))
    found = migrated(root, capsys, "--tests", f"{sys.executable} -m pytest")
    assert [one["id"] for one in found["refused"]] == [
        "rewrite_imports app.old:OldEngine in src/app/use.py"
    ]


def test_a_branch_that_was_merged_goes_on_from_there(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE | use(GO)))
    assert migrated(root, capsys)["left"] == 0
    git(root, "merge", "--quiet", "ssot/engine")
    (root / "app/new.py").write_text(OLD.replace("OldEngine", "NewEngine"))
    (root / "app/use3.py").write_text(GO.replace("old", "new").replace("OldEngine", "NewEngine"))
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "another")
    found = migrated(root, capsys)
    assert [one["id"].partition(" ")[0] for one in found["done"]] == ["rewrite_imports", "delete"]


@pytest.mark.parametrize(
    ("files", "gone", "closed"),
    [
        ({"main.py": "from lib.old import X\n", "lib/__init__.py": "", "lib/old.py": "X = 1\n"},
         "lib", "imports"),
        ({"app/x.py": "from app.old import *\n\n\ndef f():\n    return OldEngine()\n"},
         "app/old.py", "imports"),
    ],
    ids=["a whole package", "what a star gave"],
)  # fmt: skip
def test_what_was_ours_and_is_gone_closes_the_gate(
    files: dict[str, str], gone: str, closed: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE | files))
    if gone.endswith(".py"):
        (root / gone).write_text("x = 1\n")
        git(root, "add", "--all")
    else:
        git(root, "mv", gone, gone + "2")
    git(root, "commit", "--quiet", "--message", "gone")
    assert main(["gate", "HEAD~1", "HEAD", "--json", "--root", str(root)]) == 1
    gates = json.loads(capsys.readouterr().out)["gates"]
    assert [one["gate"] for one in gates if not one["ok"]] == [closed]


@pytest.mark.parametrize(
    "text",
    [
        "def f():\n    global COUNT\n    COUNT += 1\n",
        "def f():\n    global COUNT\n    return COUNT\n\n\ndef g():\n    COUNT = 1\n    return COUNT\n",
        "class A:\n    def COUNT(self):\n        global COUNT\n        return COUNT\n",
        "def f():\n    return nowhere\n",
        '__all__ = ["nowhere"]\n',
    ],
)
@pytest.mark.parametrize("folder", ["app", "app/dist", "app/venv"])
def test_names_that_nobody_binds_close_the_gate(
    text: str, folder: str, plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE))
    (root / folder).mkdir(exist_ok=True)
    (root / folder / "x.py").write_text(text)
    git(root, "add", "--all", "--force")
    git(root, "commit", "--quiet", "--message", "more")
    assert main(["gate", "HEAD~1", "HEAD", "--json", "--root", str(root)]) == 1
    gates = json.loads(capsys.readouterr().out)["gates"]
    assert [one["gate"] for one in gates if not one["ok"]] == ["names"]
