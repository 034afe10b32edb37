"""Compares import references with what ruff's TID251 finds for the same modules.

`python -m tests.crosscheck FOLDER`: FOLDER is a package (with its `__init__.py`) as it is installed. Banned
are its leaf modules that are imported most; compared are statements (file, line) in files that both parse.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from ssot.analysis import analyse
from ssot.change.gates import ruff
from ssot.config import Config
from ssot.roles.reading import Readings
from ssot.roles.references import IMPORTING, References

Place = tuple[str, int]


def ours(package: Path, most: int) -> tuple[set[str], set[Place], set[str]]:
    """The modules, the statements that import them, and files that do not parse."""
    analysis = analyse(package, config=Config())
    project = analysis.project
    counts: Counter[str] = Counter()
    for _, one, base, _ in project.imports:
        for name in (base, f"{base}.{one.name}"):
            found = project.modules.get(name)
            if found is not None and not found.is_package:
                counts[name] += 1
    modules = {name for name, _ in counts.most_common(most)}
    found_refs = References(Readings(analysis), (), modules).find()
    places = {
        (one.path, one.line) for one in found_refs
        if one.kind in IMPORTING and (one.module in modules or f"{one.module}.{one.name}" in modules)
    }  # fmt: skip
    unparsed = {path for path, m in project.by_path.items() if m.facts.error is not None}
    return modules, places, unparsed


def theirs(package: Path, modules: set[str]) -> set[Place]:
    """What ruff reports, by the first line of the statement."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "ruff.toml"
        banned = "\n".join(f'"{name}".msg = "no"' for name in sorted(modules))
        config.write_text(
            f'src = ["{package.parent}"]\n[lint.flake8-tidy-imports.banned-api]\n{banned}\n'
        )
        done = subprocess.run(
            [*ruff(), "check", "--config", str(config), "--ignore-noqa", "--no-cache", "--quiet",
             "--select", "TID251", "--output-format", "json", "--no-respect-gitignore", str(package)],
            capture_output=True, check=False,
        )  # fmt: skip
    found: set[Place] = set()
    statements: dict[str, dict[int, int]] = {}
    for one in json.loads(done.stdout):
        if one["code"] != "TID251":
            continue
        path = Path(one["filename"]).resolve().relative_to(package.resolve()).as_posix()
        if path not in statements:
            statements[path] = _import_lines(package / path)
        line = statements[path].get(one["location"]["row"])
        if line is not None:
            found.add((path, line))
    return found


def _import_lines(path: Path) -> dict[int, int]:
    """Each line of an import statement -> its first line."""
    lines: dict[int, int] = {}
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return lines
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines[line] = node.lineno
    return lines


def main(folders: list[str]) -> int:
    """Print a line for each package; 1 if any differs."""
    worst = 0
    for folder in folders:
        package = Path(folder).resolve()
        modules, mine, unparsed = ours(package, 60)
        other = {place for place in theirs(package, modules) if place[0] not in unparsed}
        only_mine, only_theirs = sorted(mine - other), sorted(other - mine)
        print(f"{package.name}: {len(modules)} modules, {len(mine)} statements; "
              f"only here {len(only_mine)}, only ruff {len(only_theirs)}")  # fmt: skip
        for title, places in (("only here", only_mine), ("only ruff", only_theirs)):
            for path, line in places[:10]:
                text = (package / path).read_text(errors="replace").splitlines()[line - 1]
                print(f"  {title}: {path}:{line}: {text.strip()}")
        worst = max(worst, len(only_mine) + len(only_theirs))
    return 1 if worst else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
