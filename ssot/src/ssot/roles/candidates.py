"""Which classes could play a role: by name, by structure, by what they inherit from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate

from ssot.config import Role
from ssot.errors import ConfigError
from ssot.index.facts import Class, Method
from ssot.resolve.project import Module, Project, Target, best

WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z]+")


@dataclass
class Candidate:
    """A class, and why it was looked at."""

    target: Target
    module: Module
    one: Class
    named: bool
    shared: tuple[str, ...]
    """Role methods that it has, inherited ones too."""
    likeness: float
    """Share of the role's methods that it has, rare names counting for more; 0 to 1."""
    structural: bool
    inherits: list[Target] = field(default_factory=list[Target])
    """Project classes that it inherits from, the nearest first."""

    @property
    def symbol(self) -> str:
        return self.target.symbol


def canonical_of(project: Project, role: Role) -> tuple[Target, Class]:
    """The canonical class. Raises `ConfigError`, with near names, if there is none of that name."""
    module_name, _, name = role.canonical.partition(":")
    module = project.modules.get(module_name)
    if module is None:
        near = _near(module_name.rpartition(".")[2], project.modules)
        raise ConfigError(f"[roles.{role.name}] there is no module {module_name!r}{near}")
    one = module.classes.get(name)
    if one is not None:
        return Target("symbol", module_name, name), one
    bindings = module.names.get(name)
    if bindings and best(bindings).kind in ("import", "assign"):
        found = project.lookup(module_name, name)
        if found.kind == "symbol" and found.symbol != role.canonical:
            raise ConfigError(
                f"[roles.{role.name}] {role.canonical} is itself an alias: give {found.symbol}"
            )
    if bindings:
        raise ConfigError(f"[roles.{role.name}] {role.canonical} is no class")
    everywhere = {f"{m.name}:{c}" for m in project.modules.values() for c in m.classes}
    raise ConfigError(
        f"[roles.{role.name}] there is no {name!r} in {module_name}{_near(name, everywhere)}"
    )


def _near(name: str, known: Iterable[str]) -> str:
    import difflib

    by_last: dict[str, list[str]] = {}
    for one in known:
        by_last.setdefault(re.split(r"[.:]", one)[-1], []).append(one)
    close = difflib.get_close_matches(name, by_last, 3, 0.6)
    names = [full for last in close for full in sorted(by_last[last])][:3]
    return f"; near: {', '.join(names)}" if names else ""


def patterns_of(role: Role) -> tuple[str, ...]:
    """How the role's classes are called."""
    if role.names:
        return role.names
    words = WORDS.findall(role.canonical.rpartition(":")[2].rpartition(".")[2])
    return (f"*{words[-1]}",) if words else ()


def methods_of(role: Role, canonical: Class) -> tuple[str, ...]:
    """What the role's classes can do."""
    return role.methods or tuple(
        dict.fromkeys(one.name for one in canonical.methods if not one.name.startswith("_"))
    )


class Search:
    """Looks for a role's candidates among all classes of a project."""

    def __init__(self, project: Project) -> None:
        self._project = project
        counts: Counter[str] = Counter()
        self._all: list[tuple[Module, Class, set[str], list[str]]] = []
        """With the names of the class's methods, and the last names of its bases."""
        for module in project.modules.values():
            for one in module.classes.values():
                names = one.method_names
                bases = [base.rpartition(".")[2] for base in one.bases]
                self._all.append((module, one, names, bases))
                counts.update(names)
        self._counts = counts

    def weight(self, method: str) -> float:
        """How much a method's name tells: the fewer classes have one, the more (its information)."""
        return math.log((len(self._all) + 1) / (self._counts[method] + 0.5))

    def classes(self) -> Iterator[tuple[Module, Class]]:
        """Every class of the tree."""
        return ((module, one) for module, one, _, _ in self._all)

    def ancestors(self, module: Module, one: Class) -> list[tuple[Target, Module, Class]]:
        """Project classes that a class inherits from, the nearest first, each once."""
        found: dict[str, tuple[Target, Module, Class]] = {}
        waiting = [(module, one)]
        while waiting:
            where, current = waiting.pop(0)
            for target in self._project.bases(where, current):
                base = self._project.class_of(target)
                if base is not None and target.symbol not in found:
                    home = self._project.modules[target.module]
                    found[target.symbol] = (target._replace(via=()), home, base)
                    waiting.append((home, base))
        return list(found.values())

    def methods(self, module: Module, one: Class) -> dict[str, tuple[Module, Class, Method]]:
        """Methods by name, inherited ones too."""
        found = {method.name: (module, one, method) for method in one.methods}
        for _, home, base in self.ancestors(module, one):
            for method in base.methods:
                found.setdefault(method.name, (home, base, method))
        return found

    def candidates(self, role: Role, canonical: tuple[Target, Class]) -> list[Candidate]:
        """Classes by whose name, methods or bases the role comes to mind; without the canonical."""
        pattern = "|".join(map(translate, patterns_of(role))) or "(?!)"
        named_so = re.compile(pattern).match
        wanted = methods_of(role, canonical[1])
        half = max(2, math.ceil(len(wanted) / 2))
        total = sum(self.weight(method) for method in wanted) or 1.0
        near = self._names_near({*wanted}, canonical[1].name)
        found: list[Candidate] = []
        asked = set(wanted)
        for module, one, own, last_bases in self._all:
            named = named_so(one.name.rpartition(".")[2]) is not None
            if not named and len(own & asked) < half and near.isdisjoint(last_bases):
                continue
            target = Target("symbol", module.key, one.name)
            if target.symbol == canonical[0].symbol or _excluded(role, module, target):
                continue
            above = self.ancestors(module, one) if one.bases else []
            has = own.union(*(base.method_names for _, _, base in above))
            shared = tuple(method for method in wanted if method in has)
            likeness = sum(self.weight(method) for method in shared) / total
            structural = len(shared) >= half
            bases = [base for base, _, _ in above]
            inherits = any(base.symbol == canonical[0].symbol for base in bases)
            if named or inherits or structural:
                found.append(
                    Candidate(target, module, one, named, shared, likeness, structural, bases)
                )
        return found

    def _names_near(self, wanted: set[str], canonical: str) -> set[str]:
        """Names under which a base may stand from which a class has some of the methods."""
        names = {canonical}
        names.update(one.name for _, one, own, _ in self._all if not wanted.isdisjoint(own))
        renamed = {
            (found.one.name or ""): found.one.as_name for found in self._project.imports
            if found.one.as_name and found.target.kind == "symbol"
        }  # fmt: skip
        size = 0
        while size != len(names):
            size = len(names)
            names.update(new for old, new in renamed.items() if old in names)
            names.update(one.name for _, one, _, bases in self._all if not names.isdisjoint(bases))
            names.update(name.rpartition(".")[2] for name in list(names))
        return names


def _excluded(role: Role, module: Module, target: Target) -> bool:
    return any(
        fnmatchcase(text, pattern)
        for pattern in role.exclude
        for text in (module.path, module.name, target.symbol)
    )
