"""What a mutant is, and trying one: in a copy of the sources, expecting red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
PACKAGES = {"goldenpath": ROOT, "ssot": ROOT / "ssot"}
"""Each distribution's folder: with its sources, its tests, and the list of its mutants among them."""
SECONDS = 150
"""A test that hangs has noticed as well."""
_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "mutants")
_RED = 1
GREEN = "every test is green"


@dataclass(frozen=True)
class Mutant:
    """One change of one file of a package, and the pytest arguments that notice it."""

    name: str
    file: str
    find: str
    replace: str
    tests: tuple[str, ...]
    package: str = "goldenpath"

    @property
    def root(self) -> Path:
        """The folder of its distribution."""
        return PACKAGES[self.package]

    @property
    def place(self) -> Path:
        """Its file, below that folder."""
        return Path("src") / self.package / self.file

    def problem(self) -> str | None:
        """Why it cannot be tried; None if it applies."""
        root = self.root
        path = root / self.place
        if not path.is_file():
            return f"there is no file {self.file}"
        text = path.read_text()
        if (count := text.count(self.find)) != 1:
            return f"its text is {count} times in {self.file}, not once"
        if self.find == self.replace:
            return "it changes nothing"
        if path.suffix != ".py":
            return self._missing(root)
        try:
            compile(text.replace(self.find, self.replace), self.file, "exec")
        except SyntaxError as error:
            return f"the changed file is no Python: {error}"
        return self._missing(root)

    def _missing(self, root: Path) -> str | None:
        missing = [t for t in self.tests if t.startswith("tests/") and not (root / t).exists()]
        return f"there is no {missing[0]}" if missing else None


@dataclass(frozen=True)
class Verdict:
    """`killed`: some test was red, as it must be."""

    mutant: Mutant
    killed: bool
    reason: str
    seconds: float


def load() -> list[Mutant]:
    """All mutants of the lists."""
    return [
        Mutant(**{**row, "tests": tuple(row["tests"])}, package=package)
        for package, root in PACKAGES.items()
        for row in tomllib.loads((root / "tests" / "mutants.toml").read_text())["mutant"]
    ]


def attempt(mutant: Mutant) -> Verdict:
    """Apply a mutant in a copy of the sources and run its tests there."""
    problem = mutant.problem()
    if problem is not None:
        return Verdict(mutant, False, problem, 0.0)
    began = time.monotonic()
    with TemporaryDirectory(prefix="mutant-") as name:
        copy = _copied(mutant.root, Path(name))
        path = copy / mutant.place
        path.write_text(path.read_text().replace(mutant.find, mutant.replace))
        killed, reason = _run(mutant.tests, copy, SECONDS)
    return Verdict(mutant, killed, reason, time.monotonic() - began)


def baseline(mutants: Sequence[Mutant]) -> str | None:
    """Run the tests of these mutants without any: what is red then, as none may be."""
    for package, root in PACKAGES.items():
        of = [m for m in mutants if m.package == package]
        files = sorted({test for m in of for test in m.tests if test.startswith("tests/")})
        if files:
            with TemporaryDirectory(prefix="mutant-") as name:
                red, reason = _run(files, _copied(root, Path(name)), SECONDS * len(files))
            if red or reason != GREEN:
                return reason
    return None


def _copied(root: Path, target: Path) -> Path:
    for folder in ("src", "tests"):
        shutil.copytree(root / folder, target / folder, ignore=_IGNORED, symlinks=True)
    shutil.copy2(root / "pyproject.toml", target)
    return target


def _run(tests: Sequence[str], copy: Path, seconds: float) -> tuple[bool, str]:
    """(whether a test was red, which one or why not)."""
    command = [sys.executable, "-m", "pytest", "-x", "-q"]
    command += ["-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= {"MISSION_BOUND": "8", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = str(copy / "src")  # also for the processes that tests start
    with subprocess.Popen(
        command,
        cwd=copy,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.terminate()
            process.communicate()
            return True, f"the tests do not end within {seconds:.0f} s"
    lines = output.splitlines()
    red = [line for line in lines if line.startswith(("FAILED tests", "ERROR tests"))]
    if process.returncode == _RED and red:
        return True, red[0].split(" - ")[0]
    if process.returncode == 0:
        return False, GREEN
    return False, f"pytest ended with {process.returncode}: {output.strip()[-300:]}"
