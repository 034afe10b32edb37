"""Trees and repositories for tests; no test touches the cache of whoever runs them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parent
collect_ignore_glob = ["tangle/*", "thicket/*"]

ENGINE = "class Engine:\n    def run(self): return 1\n    def stop(self): return 2\n"
OLD = ENGINE.replace("Engine", "OldEngine")
BASE = {
    "ssot.toml": '[roles.engine]\ncanonical = "app.engine:Engine"\n',
    "app/__init__.py": "",
    "app/engine.py": ENGINE,
}
"""The least tree with a role."""

Plant = Callable[[dict[str, str]], Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def plant(tmp_path: Path) -> Plant:
    """Writes files, by path; gives the folder."""

    def write(files: dict[str, str]) -> Path:
        for path, text in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        return tmp_path

    return write


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody; gives what it printed."""
    done = subprocess.run(
        ["git", "-c", "user.name=test", "-c", "user.email=test@example.org", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def repository(folder: Path) -> Path:
    """Make a folder a repository in which everything is committed."""
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "config", "user.name", "test")
    git(folder, "config", "user.email", "test@example.org")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "before")
    return folder


def copy_of(fixture: str, target: Path) -> Path:
    """A fixture's tree, as a repository."""
    shutil.copytree(FIXTURES / fixture / "tree", target)
    return repository(target)
