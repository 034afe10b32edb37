"""What runs: which modules are reached from where a program begins, from tools, from tests."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, cast

from ssot.resolve.project import Project


def settle(project: Project, root: Path, given: tuple[str, ...]) -> list[str]:
    """Set each module's liveness; gives the modules from which it was reckoned.

    Raises nothing: without a beginning everything is `unknown`, but for tests and tools.
    """
    roots = list(given) if given else sorted({*_declared(root), *_found(project)})
    roots = [name for name in dict.fromkeys(roots) if name in project.modules]
    edges = _edges(project)
    live = _reached(edges, roots)
    tooling = _reached(edges, _of(project, "tooling", "backup"))
    tests = _reached(edges, _of(project, "test"))
    for key, module in project.modules.items():
        if key in live:
            module.liveness = "live"
        elif not roots and module.area == "app":
            module.liveness = "unknown"
        elif key in tooling:
            module.liveness = "tooling"
        else:
            module.liveness = "tests" if key in tests else "none"
    return roots


def _of(project: Project, *areas: str) -> list[str]:
    return [key for key, module in project.modules.items() if module.area in areas]


def _reached(edges: dict[str, set[str]], begin: Iterable[str]) -> set[str]:
    found = set(begin)
    waiting = list(found)
    while waiting:
        for key in edges.get(waiting.pop(), ()):
            if key not in found:
                found.add(key)
                waiting.append(key)
    return found


def _edges(project: Project) -> dict[str, set[str]]:
    """Module -> modules that run when it is imported, or may be imported by it later."""
    found: dict[str, set[str]] = {
        key: set(_parents(project, module.name)) for key, module in project.modules.items()
    }
    known: dict[str, list[str]] = {}
    for module, one, base, target in project.imports:
        if one.type_checking or not base:
            continue
        if base not in known:
            known[base] = list(_with_parents(project, base))
        edges = found[module.key]
        edges.update(known[base])
        if one.kind == "from":
            if target.kind == "module":
                edges.update(_with_parents(project, target.module))
    return found


def _with_parents(project: Project, name: str) -> Iterator[str]:
    if name in project.modules:
        yield name
    yield from _parents(project, name)


def _parents(project: Project, name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        if name in project.modules:
            yield name


def _found(project: Project) -> Iterator[str]:
    for key, module in project.modules.items():
        if module.area != "app":
            continue
        if module.name.rpartition(".")[2] == "__main__":
            yield key
        if module.facts.serves:
            yield key


def _declared(root: Path) -> Iterator[str]:
    """Modules of the scripts and entry points that the project's files declare."""
    tables: list[Any] = []
    document: dict[str, Any]
    try:
        document = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        document = {}
    project = document.get("project", {})
    poetry = document.get("tool", {}).get("poetry", {})
    tables += [project.get("scripts"), project.get("gui-scripts"), poetry.get("scripts")]
    points = project.get("entry-points")
    tables += cast("dict[str, Any]", points).values() if isinstance(points, dict) else []
    plugins = poetry.get("plugins")
    tables += cast("dict[str, Any]", plugins).values() if isinstance(plugins, dict) else []
    yield from _in_setup(root)
    for table in tables:
        if isinstance(table, dict):
            for place in cast("dict[str, Any]", table).values():
                named = (
                    cast("dict[str, Any]", place).get("reference")
                    if isinstance(place, dict)
                    else place
                )
                yield str(named).partition(":")[0].strip()
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(root / "setup.cfg", "utf-8")
        for _, text in parser.items("options.entry_points"):
            for line in text.splitlines():
                yield line.partition("=")[2].partition(":")[0].strip()
    except (OSError, UnicodeDecodeError, configparser.Error):
        return


_ENTRY_POINT = re.compile(
    r"[\"'][\w.-]+\s*=\s*([A-Za-z_][\w.]*)\s*:\s*[A-Za-z_][\w.]*\s*(?:\[.*\])?[\"']"
)


def _in_setup(root: Path) -> Iterator[str]:
    """Modules of the entry points that a `setup.py` writes out."""
    try:
        text = (root / "setup.py").read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return
    yield from (found[1] for found in _ENTRY_POINT.finditer(text))
