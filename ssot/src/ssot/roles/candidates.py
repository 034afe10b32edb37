"""Which classes could play a role: by name, by structure, by what they inherit from."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase, translate
from functools import cached_property

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
    bindings = module.bindings(name)
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
        self._all = [
            (module, one) for module in project.modules.values() for one in module.classes.values()
        ]

    @cached_property
    def _with_method(self) -> dict[str, list[int]]:
        """Numbers of the classes that define a method of a name."""
        found: dict[str, list[int]] = {}
        for number, (_, one) in enumerate(self._all):
            for name in one.method_names:
                found.setdefault(name, []).append(number)
        return found

    @cached_property
    def _with_base(self) -> dict[str, list[int]]:
        """Numbers of the classes one of whose bases has a last name."""
        found: dict[str, list[int]] = {}
        for number, (_, one) in enumerate(self._all):
            for base in one.bases:
                found.setdefault(base.rpartition(".")[2], []).append(number)
        return found

    @cached_property
    def _called(self) -> dict[str, list[int]]:
        """Numbers of the classes of a name (of one in a class the last)."""
        found: dict[str, list[int]] = {}
        for number, (_, one) in enumerate(self._all):
            found.setdefault(one.name.rpartition(".")[2], []).append(number)
        return found

    def weight(self, method: str) -> float:
        """How much a method's name tells: the fewer classes have one, the more (its information)."""
        return math.log((len(self._all) + 1) / (len(self._with_method.get(method, ())) + 0.5))

    def symbols(self, name: str) -> set[str]:
        """All classes and functions of a (dotted) name."""
        found = (self._all[number] for number in self._called.get(name.rpartition(".")[2], ()))
        classes = {f"{module.key}:{one.name}" for module, one in found if one.name == name}
        return classes | self._functions.get(name, set())

    @cached_property
    def _functions(self) -> dict[str, set[str]]:
        """Functions at module level by name."""
        found: dict[str, set[str]] = {}
        for module in self._project.modules.values():
            for name in module.facts.function_names:
                found.setdefault(name, set()).add(f"{module.key}:{name}")
        return found

    def classes(self) -> Iterator[tuple[Module, Class]]:
        """Every class of the tree."""
        return iter(self._all)

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
        named = {n for name, ns in self._called.items() if named_so(name) for n in ns}
        own = Counter(n for method in wanted for n in self._with_method.get(method, ()))
        numbers = {*named, *(number for number, count in own.items() if count >= half)}
        for name in self._names_near(own, canonical[1].name):
            numbers.update(self._with_base.get(name, ()))
        found: list[Candidate] = []
        for number in sorted(numbers):
            module, one = self._all[number]
            target = Target("symbol", module.key, one.name)
            if target.symbol == canonical[0].symbol or _excluded(role, module, target):
                continue
            above = self.ancestors(module, one) if one.bases else []
            has = {*one.method_names}.union(*(base.method_names for _, _, base in above))
            shared = tuple(method for method in wanted if method in has)
            likeness = sum(self.weight(method) for method in shared) / total
            structural = len(shared) >= half
            bases = [base for base, _, _ in above]
            inherits = any(base.symbol == canonical[0].symbol for base in bases)
            if number in named or inherits or structural:
                found.append(
                    Candidate(
                        target, module, one, number in named, shared, likeness, structural, bases
                    )
                )  # fmt: skip
        return found

    def _names_near(self, having: Iterable[int], canonical: str) -> set[str]:
        """Names under which a base may stand from which a class has some of the methods.

        `having`: numbers of the classes that define some themselves.
        """
        found = set[str]()
        waiting = [canonical, *(self._all[number][1].name for number in having)]
        while waiting:
            name = waiting.pop().rpartition(".")[2]
            if name not in found:
                found.add(name)
                waiting += self._renamed.get(name, ())
                waiting += (self._all[number][1].name for number in self._with_base.get(name, ()))
        return found

    @cached_property
    def _renamed(self) -> dict[str, set[str]]:
        """Names under which imports and assignments bind other names."""
        found: dict[str, set[str]] = {}
        for _, one, _, target in self._project.imports:
            if one.as_name and target.kind == "symbol":
                found.setdefault(one.name or "", set()).add(one.as_name)
        for module in self._project.modules.values():
            for name, other in module.facts.assigned:
                found.setdefault(other, set()).add(name)
        return found


def _excluded(role: Role, module: Module, target: Target) -> bool:
    return any(
        fnmatchcase(text, pattern)
        for pattern in role.exclude
        for text in (module.path, module.name, target.symbol)
    )
