"""Imports of what the project does not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ssot.index.facts import Import
from ssot.resolve.project import Project


class Broken(NamedTuple):
    """An import that cannot succeed; `hard`: at module level, and nothing catches it."""

    path: str
    line: int
    module: str
    name: str | None
    area: str
    hard: bool


def broken_imports(project: Project) -> list[Broken]:
    """All of them, by path and line."""
    return sorted(_find(project), key=lambda one: (one.path, one.line, one.module, one.name or ""))


def _find(project: Project) -> Iterator[Broken]:
    for module, one, base, _ in project.missing:
        if module.facts.error is None:
            yield Broken(
                module.path, one.line, base or "." * one.level, one.name, module.area, is_hard(one)
            )


def is_hard(one: Import) -> bool:
    """True if the file cannot be imported for it."""
    at_module = one.place in ("module", "class")
    return at_module and one.guard is None and not one.type_checking and not one.handler
