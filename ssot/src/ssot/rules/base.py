"""What rules are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ssot.roles.audit import Audit

WATCHED = ("app", "tooling")
"""Areas in which code counts; copies that are kept and test doubles do not."""


@dataclass(frozen=True, order=True)
class Violation:
    """One of them. `key` says what it is without saying in which line, so that it may move."""

    path: str
    line: int
    rule: str
    key: str
    symbol: str
    message: str


@dataclass(frozen=True)
class Case:
    """A small tree, and the (path, line) of what a rule finds in it."""

    title: str
    files: dict[str, str]
    found: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Rule:
    """One thing that must not be. `why` is its page of documentation."""

    name: str
    summary: str
    why: str
    find: Callable[[Audit], Iterator[Violation]]
    valid: tuple[Case, ...]
    invalid: tuple[Case, ...]


TOML = '[roles.engine]\ncanonical = "app.engine:Engine"\n'
ENGINE = "class Engine:\n    def run(self): ...\n    def stop(self): return 1\n    def close(self): return 2\n"
"""A canonical for cases."""


def tree(**files: str) -> dict[str, str]:
    """A case's files: the names have `__` for slashes; the canonical and its role are there."""
    base = {"ssot.toml": TOML, "app/__init__.py": "", "app/engine.py": ENGINE}
    return base | {name.replace("__", "/") + ".py": text for name, text in files.items()}
