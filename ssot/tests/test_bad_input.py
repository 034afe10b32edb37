"""Bad input ends in one clear line and exit code 2, or is reported and changes nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ssot.cli import main

from tests.conftest import BASE, ENGINE, OLD, Plant, git, repository

TREE = BASE


def refused(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    assert main(arguments) == code
    out = capsys.readouterr()
    assert out.out == "" and out.err.startswith("ssot: ") and out.err.count("\n") == 1
    return out.err


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("[roles.engine\n", "ssot.toml"),
        ("[rolls.engine]\n", "no table [rolls]"),
        ("[roles.engine]\n", "needs canonical"),
        ('[roles.engine]\ncanonical = "app.engine.Engine"\n', "package.module:Name"),
        ('[roles.engine]\ncanonical = "app.engine:Engine"\nname = []\n', "has no 'name'"),
        ("[roles.engine]\ncanonical = 3\n", "must be a text"),
        ('[tree]\nexclude = "x"\n', "must be a list"),
        ('[roles.engine]\ncanonical = "app.engine:Engin"\n', "near: app.engine:Engine"),
        ('[roles.engine]\ncanonical = "app.engines:Engine"\n', "near: app.engine"),
        (
            '[roles.engine]\ncanonical = "app.names:Runner"\n',
            "itself an alias: give app.engine:Engine",
        ),
        ('[roles.engine]\ncanonical = "app.names:LIMIT"\n', "is no class"),
    ],
)
def test_a_bad_configuration(
    plant: Plant, capsys: pytest.CaptureFixture[str], toml: str, words: str
) -> None:
    names = "from app.engine import Engine as Runner\nLIMIT = 3\n"
    root = plant(TREE | {"ssot.toml": toml, "app/names.py": names})
    assert words in refused(capsys, "audit", "--root", str(root))


def test_no_such_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no folder" in refused(capsys, "audit", "--root", str(tmp_path / "none"))


def test_a_number_that_is_none(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no number" in refused(capsys, "explain", "many", "--root", str(plant(TREE)))


def test_a_role_that_is_not_there(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(plant(TREE))
    assert "there are: engine" in refused(capsys, "plan", "--root", root, "--role", "motor")
    assert "there are: engine" in refused(capsys, "audit", "--root", root, "--role", "motor")


@pytest.mark.parametrize(
    "command", [("migrate",), ("gate", "HEAD", "HEAD"), ("guard", "--diff", "HEAD")]
)
def test_what_needs_git_says_so(
    plant: Plant, capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    root = plant(TREE)
    assert main(["guard", "--write", "--root", str(root)]) == 0
    capsys.readouterr()
    assert "git" in refused(capsys, *command, "--root", str(root))


def test_without_git_all_else_works(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(plant(TREE))
    for command in ("audit", "tests", "plan", "rules"):
        assert main([command, "--root", root]) == 0
    assert main(["explain", "1", "--root", root]) == 0
    assert main(["guard", "--write", "--root", root]) == 0


def test_guard_without_a_baseline(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    assert "ssot guard --write" in refused(capsys, "guard", "--root", str(plant(TREE)))


def test_a_dirty_tree_is_only_for_migrate_a_reason(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = repository(plant(TREE))
    (root / "app/engine.py").write_text(ENGINE + "\n")
    assert "not clean" in refused(capsys, "migrate", "--root", str(root))
    assert main(["audit", "--root", str(root)]) == 0
    assert main(["gate", "HEAD", "HEAD", "--root", str(root)]) == 0


def test_a_test_command_that_hangs(plant: Plant, capsys: pytest.CaptureFixture[str]) -> None:
    root = repository(plant(TREE | {
        "app/old.py": OLD,
        "app/use.py": "from app.old import OldEngine\n\nOldEngine().run()\n",
        "tests/test_old.py": "from app.old import OldEngine\n\n\ndef test_it():\n    assert OldEngine().run()\n",
        "hang.sh": "sleep 60\n",
    }))  # fmt: skip
    before = git(root, "rev-parse", "HEAD")
    command = ["migrate", "--root", str(root), "--tests", "sh hang.sh", "--timeout", "1"]
    assert main(command) == 2
    assert "hang" in capsys.readouterr().err.splitlines()[-1]
    assert git(root, "rev-parse", "HEAD", "ssot/engine").splitlines() == [before, before]


def test_bad_files_are_reported_and_change_nothing_else(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = plant(TREE | {"app/use.py": "from app.engine import Engine\n"})
    assert main(["audit", "--json", "--root", str(root)]) == 0
    before = json.loads(capsys.readouterr().out)
    (root / "app/binary.py").write_bytes(b"x = 1\0\xff")
    (root / "app/latin.py").write_bytes("# Grüße\nx = 'ü'\n".encode("latin-1"))
    (root / "app/coded.py").write_bytes("# coding: latin-1\nx = 'ü'\n".encode("latin-1"))
    (root / "app/loop.py").symlink_to(root / "app/loop.py")
    (root / "app/round").symlink_to(root / "app")
    (root / "app/nothing.py").symlink_to(root / "app/gone.py")
    with (root / "app/huge.py").open("wb") as file:
        file.truncate(50 * 1024 * 1024)
    (root / "app/deep.py").write_text("x = " + "(" * 5000 + ")" * 5000 + "\n")
    (root / "app/a.py").write_text("from app.b import Ring\n\n__all__ = ['Ring']\n")
    (root / "app/b.py").write_text("from app.a import Ring\n")
    (root / "app/secret.py").write_text("x = 1\n")
    (root / "app/secret.py").chmod(0)
    assert main(["audit", "--json", "--root", str(root)]) == 0
    after = json.loads(capsys.readouterr().out)
    assert after["roles"] == before["roles"]
    unparsed = {one["path"] for one in after["unparsed"]}
    skipped = {one["path"] for one in after["skipped"]}
    assert {"app/binary.py", "app/latin.py", "app/deep.py"} <= unparsed
    assert {"app/huge.py", "app/loop.py", "app/nothing.py", "app/round"} <= skipped
    assert "app/coded.py" not in unparsed
    if os.geteuid() != 0:
        assert "app/secret.py" in skipped
    assert all(one["reason"] for one in after["skipped"])


def test_a_cache_that_is_broken_is_no_reason(
    plant: Plant, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(plant(TREE))
    assert main(["audit", "--json", "--root", root]) == 0
    before = capsys.readouterr().out
    (cache,) = Path(os.environ["XDG_CACHE_HOME"]).rglob("*.facts")
    for rubbish in (b"", b"\0" * 50, cache.read_bytes()[:-9]):
        cache.write_bytes(rubbish)
        assert main(["audit", "--json", "--root", root]) == 0
        assert capsys.readouterr().out == before
