"""Which roles a code base seems to have: proposals, with their evidence.

A family is several classes, of lineages of their own, that have the same public methods: the methods that all
of them have are its core, and a core counts by its information (a name that few classes have says more) and by
how many lineages have it. Subclasses of one working class are one lineage, for they share its implementation;
classes that only share an interface are not. What a class is called, what it inherits from, its attributes and
annotations, what it imports and who imports it say how like it is to the class that the family would come to.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from typing import TypeVar

from ssot.config import Role
from ssot.index.facts import Class
from ssot.resolve.project import Module, Project
from ssot.roles.candidates import WORDS, Search

_LEAST_CORE = 2
_MOST_SHARED = 60
"""A method that more classes have says nothing of a role."""
_LEAST_PART = 0.25
"""Of a class's methods a core must be so much, or the class is something else beside."""
_MOST_CORES = 4000
"""So many of the best cores are looked at."""
_MOST_ROLES = 12
_SAYS_NOTHING = frozenset(
    {"Abstract", "Base", "Default", "Impl", "Interface", "Mixin", "Protocol", "Simple", "Type"}
)
"""Last words of class names that say how a class is made, and not what it is."""
_WEIGHTS = {
    "methods": 0.5,
    "name": 0.15,
    "attributes": 0.1,
    "annotations": 0.05,
    "imports": 0.1,
    "importers": 0.1,
}
"""How much each kind of evidence counts in a likeness."""
_SHORT = 2
_T = TypeVar("_T")


@dataclass(frozen=True)
class Kin:
    """A class of a family, and how like it is to the proposed canonical: 0 to 1, in all and by kind."""

    symbol: str
    path: str
    line: int
    likeness: float
    evidence: dict[str, float]
    interface: str | None
    """One that both implement."""


@dataclass
class Proposal:
    """A role that could be in `ssot.toml`."""

    name: str
    canonical: str
    path: str
    line: int
    importers: int
    methods: tuple[str, ...]
    """What all of the family have; empty if these are all that the canonical has."""
    kin: list[Kin] = field(default_factory=list[Kin])
    score: float = 0.0

    @property
    def role(self) -> Role:
        return Role(self.name, self.canonical, methods=self.methods)


@dataclass(eq=False)
class _Node:
    """A class that could be of a family."""

    module: Module
    one: Class
    symbol: str
    methods: frozenset[str]
    """Public ones, inherited ones too."""
    lineage: frozenset[str]
    """Itself, and the project's classes from which it inherits something that is executed."""
    interfaces: frozenset[str]

    @cached_property
    def words(self) -> list[str]:
        """Of its name, without those at the end that say nothing."""
        words = WORDS.findall(self.one.name.rpartition(".")[2])
        while len(words) > 1 and words[-1] in _SAYS_NOTHING:
            words.pop()
        return words

    @property
    def word(self) -> str:
        last = self.words[-1] if self.words else ""
        return last if len(last) > _SHORT else self.one.name.rpartition(".")[2]


@dataclass
class _Family:
    core: frozenset[str]
    nodes: list[_Node]
    score: float


def discover(project: Project, search: Search, most: int = _MOST_ROLES) -> list[Proposal]:
    """Propose roles, those with most to gain first."""
    discovery = _Discovery(project, search)
    found: list[Proposal] = []
    names = Counter[str]()
    for family in discovery.families(most):
        proposal = discovery.propose(family)
        names[proposal.name] += 1
        if names[proposal.name] > 1:
            proposal.name = f"{proposal.name}_{names[proposal.name]}"
        found.append(proposal)
    return found


class _Discovery:
    def __init__(self, project: Project, search: Search) -> None:
        self._project = project
        self._search = search
        self._nodes = [*self._find_nodes()]
        with_method: dict[str, list[int]] = defaultdict(list)
        for number, node in enumerate(self._nodes):
            for method in node.methods:
                with_method[method].append(number)
        self._with_method = with_method

    def _find_nodes(self) -> Iterable[_Node]:
        for module, one in self._search.classes():
            if (
                module.area not in ("app", "tooling")
                or "@" in module.key
                or one.name.startswith("_")
            ):
                continue
            own = {name for name in one.method_names if not name.startswith("_")}
            if not own or not _works(one, own):
                continue
            methods, lineage, interfaces = own, {f"{module.key}:{one.name}"}, set[str]()
            for target, _, base in self._search.ancestors(module, one):
                public = {name for name in base.method_names if not name.startswith("_")}
                methods = methods | public
                if _works(base, base.method_names):
                    lineage.add(target.symbol)
                else:
                    interfaces.add(target.symbol)
            if len(methods) >= _LEAST_CORE:
                symbol = f"{module.key}:{one.name}"
                yield _Node(
                    module,
                    one,
                    symbol,
                    frozenset(methods),
                    frozenset(lineage),
                    frozenset(interfaces),
                )

    # -- families ----------------------------------------------------------------------------

    def families(self, most: int) -> list[_Family]:
        """The best ones; each class of a family is new in it, but for a few."""
        cores = sorted(self._cores(), key=lambda core: (-self._information(core), sorted(core)))
        families = [f for f in map(self._family, cores[:_MOST_CORES]) if f is not None]
        families.sort(key=lambda one: (-one.score, sorted(one.core)))
        chosen: list[_Family] = []
        seen: set[str] = set()
        for family in families:
            new = [node for node in family.nodes if node.symbol not in seen]
            if 2 * len(new) > len(family.nodes) and _lineages(new) > 1:
                chosen.append(family)
                seen.update(node.symbol for node in family.nodes)
            if len(chosen) == most:
                break
        return chosen

    def _cores(self) -> set[frozenset[str]]:
        """What two classes of different lineages have in common."""
        shared: Counter[tuple[int, int]] = Counter()
        for numbers in self._with_method.values():
            if len(numbers) <= _MOST_SHARED:
                shared.update(combinations(numbers, 2))
        found: set[frozenset[str]] = set()
        for (first, second), count in shared.items():
            if count >= _LEAST_CORE:
                one, other = self._nodes[first], self._nodes[second]
                if one.lineage.isdisjoint(other.lineage):
                    found.add(one.methods & other.methods)
        return found

    def _weight(self, method: str) -> float:
        return math.log((len(self._nodes) + 1) / (len(self._with_method[method]) + 0.5))

    def _information(self, core: Iterable[str]) -> float:
        return sum(map(self._weight, core))

    def _family(self, core: frozenset[str]) -> _Family | None:
        numbers = set[int].intersection(*(set(self._with_method[method]) for method in core))
        nodes = [
            node for node in (self._nodes[number] for number in sorted(numbers))
            if len(core) >= _LEAST_PART * len(node.methods)
        ]  # fmt: skip
        lineages = _lineages(nodes)
        if lineages < 2 or not any(node.module.area == "app" for node in nodes):
            return None
        # Whose every member implements one interface is a family by design: less is to be gained.
        common = frozenset[str].intersection(*(node.interfaces for node in nodes))
        words = Counter(node.word for node in nodes)
        alike = words.most_common(1)[0][1] / len(nodes)
        if len(core) == _LEAST_CORE and lineages == 2 and alike < 1:
            return None  # two methods of two classes: that is chance
        score = self._information(core) * math.log2(lineages) * (0.5 + alike / 2)
        return _Family(core, nodes, score * (0.3 if common else 1.0))

    # -- proposals ---------------------------------------------------------------------------

    def propose(self, family: _Family) -> Proposal:
        """The class that a family would come to, and how like it the others are."""
        best = max(
            (node for node in family.nodes if node.module.area == "app"),
            key=lambda node: (
                node.module.liveness == "live", len(self._importers[node.symbol]),
                len(node.methods), node.symbol,
            ),
        )  # fmt: skip
        words = Counter(node.word for node in family.nodes)
        word = max(words, key=lambda one: (words[one], one == best.word, one))
        kin = [self._kin(family, best, node, word) for node in family.nodes if node is not best]
        kin.sort(key=lambda one: (-one.likeness, one.symbol))
        public = {name for name in best.one.method_names if not name.startswith("_")}
        half = max(2, math.ceil(len(public) / 2))
        needed = any(len(public & node.methods) < half for node in family.nodes)
        return Proposal(
            word.lower(), best.symbol, best.module.path, best.one.line,
            len(self._importers[best.symbol]), tuple(sorted(family.core)) if needed else (), kin,
            round(family.score, 2),
        )  # fmt: skip

    def _kin(self, family: _Family, best: _Node, node: _Node, word: str) -> Kin:
        core = self._information(family.core)
        evidence = {
            "methods": core / max(core, self._information(best.methods & node.methods | family.core)
                                  + self._information(node.methods - best.methods)),
            "name": 1.0 if node.word == word else 0.0,
            "attributes": _jaccard(set(best.one.attributes), set(node.one.attributes)),
            "annotations": _jaccard(set(best.one.annotations), set(node.one.annotations)),
            "imports": _jaccard(self._uses[best.module.path], self._uses[node.module.path]),
            "importers": _jaccard(self._importers[best.symbol], self._importers[node.symbol]),
        }  # fmt: skip
        likeness = sum(_WEIGHTS[kind] * value for kind, value in evidence.items())
        shared = sorted(best.interfaces & node.interfaces)
        return Kin(
            node.symbol, node.module.path, node.one.line, round(likeness, 2),
            {kind: round(value, 2) for kind, value in evidence.items()}, shared[0] if shared else None,
        )  # fmt: skip

    @cached_property
    def _importers(self) -> Mapping[str, set[str]]:
        """Paths of the app's files that import a symbol in the end."""
        found: dict[str, set[str]] = defaultdict(set)
        for module, one, _, target in self._project.imports:
            if one.kind == "from" and module.area == "app" and target.kind == "symbol":
                found[target.symbol].add(module.path)
        return found

    @cached_property
    def _uses(self) -> Mapping[str, set[str]]:
        """What the file of a path imports of the project."""
        found: dict[str, set[str]] = defaultdict(set)
        for module, _, _, target in self._project.imports:
            found[module.path].add(target.symbol)
        return found


def _lineages(nodes: Iterable[_Node]) -> int:
    """How many there are of which none has a class in common with another."""
    found: list[set[str]] = []
    for node in nodes:
        joined = set(node.lineage)
        apart: list[set[str]] = []
        for lineage in found:
            if joined.isdisjoint(lineage):
                apart.append(lineage)
            else:
                joined |= lineage
        found = [*apart, joined]
    return len(found)


def _works(one: Class, names: Collection[str]) -> bool:
    """True if something is executed in one of these methods."""
    return any("t" not in method.flags for method in one.methods if method.name in names)


def _jaccard(one: set[_T], other: set[_T]) -> float:
    return len(one & other) / len(one | other) if one and other else 0.0


def as_toml(proposals: Iterable[Proposal]) -> str:
    """A `ssot.toml` with its evidence as comments."""
    lines = ["# Proposed by `ssot init`: keep what is a role, correct what is its canonical.", ""]
    for one in proposals:
        lines.append(f"[roles.{one.name}]")
        lines.append(f"# {one.path}:{one.line}, imported by {one.importers} files. Like it are:")
        for kin in one.kin[:12]:
            why = ", ".join(f"{kind} {value}" for kind, value in kin.evidence.items() if value)
            lines.append(
                f"#   {kin.symbol} ({kin.path}:{kin.line}): likeness {kin.likeness} ({why})"
            )
        if len(one.kin) > 12:
            lines.append(f"#   and {len(one.kin) - 12} more")
        lines.append(f'canonical = "{one.canonical}"')
        if one.methods:
            lines.append(
                f"methods = [{', '.join(f'{name!r}' for name in one.methods)}]".replace("'", '"')
            )
        lines.append("")
    return "\n".join(lines)
