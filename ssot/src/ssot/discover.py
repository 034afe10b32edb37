"""Which roles a code base seems to have: proposals, with their evidence.

By name (classes whose names end in the same word), by structure (classes with the same methods,
rare ones counting for more), by base class, and by who imports them. Families of classes that do
the same thing are roles; a class's own subclasses and test doubles are no rivals of it.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from ssot.config import Role
from ssot.index.facts import Class
from ssot.resolve.project import Module, Project
from ssot.roles.candidates import WORDS, Search

_LIKE = 0.5
"""Similarity (weighted Jaccard of the methods' names) from which two classes do the same thing."""
_LEAST_METHODS = 3
_MOST_SHARED = 60
"""A method that more classes have says nothing of a role."""
_MOST_ROLES = 12


@dataclass(frozen=True)
class Kin:
    """A class of a family: how like it is to the proposed canonical."""

    symbol: str
    path: str
    line: int
    likeness: float
    named: bool


@dataclass
class Proposal:
    """A role that could be in `ssot.toml`."""

    name: str
    canonical: str
    path: str
    line: int
    importers: int
    kin: list[Kin] = field(default_factory=list[Kin])
    score: float = 0.0

    @property
    def role(self) -> Role:
        return Role(self.name, self.canonical)


@dataclass
class _Node:
    module: Module
    one: Class
    methods: frozenset[str]
    symbol: str
    above: frozenset[str]


def discover(project: Project, search: Search, most: int = _MOST_ROLES) -> list[Proposal]:
    """Propose roles, those with most to gain first."""
    nodes = _nodes(search)
    families = _families(nodes, search)
    importers = _importers(project)
    found: list[Proposal] = []
    taken: set[str] = set()
    for family in families:
        proposal = _propose(family, search, importers)
        if proposal is None or proposal.name in taken:
            continue
        taken.add(proposal.name)
        found.append(proposal)
    found.sort(key=lambda one: (-one.score, one.name))
    return found[:most]


def _nodes(search: Search) -> list[_Node]:
    found: list[_Node] = []
    for module, one in search.classes():
        if module.area != "app" or "@" in module.key or one.name.startswith("_"):
            continue
        methods = frozenset(m.name for m in one.methods if not m.name.startswith("_"))
        real = any("t" not in m.flags for m in one.methods if m.name in methods)
        if len(methods) >= _LEAST_METHODS and real:
            above = frozenset(target.symbol for target, _, _ in search.ancestors(module, one))
            found.append(_Node(module, one, methods, f"{module.key}:{one.name}", above))
    return found


def _similarity(one: frozenset[str], other: frozenset[str], search: Search) -> float:
    shared = one & other
    if len(shared) < 2:
        return 0.0
    union = one | other
    return sum(map(search.weight, shared)) / sum(map(search.weight, union))


def _families(nodes: list[_Node], search: Search) -> list[list[_Node]]:
    """Classes that do the same thing, none of which is another's subclass."""
    by_method: dict[str, list[int]] = defaultdict(list)
    for number, node in enumerate(nodes):
        for method in node.methods:
            by_method[method].append(number)
    common: Counter[tuple[int, int]] = Counter()
    for numbers in by_method.values():
        if len(numbers) <= _MOST_SHARED:
            for at, first in enumerate(numbers):
                common.update((first, second) for second in numbers[at + 1 :])
    parent = list(range(len(nodes)))

    def top(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    for (first, second), count in common.items():
        if count < 2:
            continue
        one, other = nodes[first], nodes[second]
        if one.symbol in other.above or other.symbol in one.above or one.above & other.above:
            continue  # of one family by inheritance: an interface, not a rivalry
        same_word = _last_word(one.one.name) == _last_word(other.one.name)
        if _similarity(one.methods, other.methods, search) >= (_LIKE * 0.8 if same_word else _LIKE):
            parent[top(first)] = top(second)
    groups: dict[int, list[_Node]] = defaultdict(list)
    for number, node in enumerate(nodes):
        groups[top(number)].append(node)
    return [group for group in groups.values() if len(group) > 1]


def _last_word(name: str) -> str:
    words = WORDS.findall(name.rpartition(".")[2])
    return words[-1] if words else name


def _importers(project: Project) -> Counter[str]:
    """How many app files import each symbol in the end."""
    seen: set[tuple[str, str]] = set()
    for module, one, _, target in project.imports:
        if one.kind == "from" and module.area == "app" and target.kind == "symbol":
            seen.add((target.symbol, module.path))
    return Counter(symbol for symbol, _ in seen)


def _propose(family: list[_Node], search: Search, importers: Counter[str]) -> Proposal | None:
    words = Counter(_last_word(node.one.name) for node in family)
    best = max(
        family,
        key=lambda node: (
            node.module.liveness == "live", importers[node.symbol], len(node.methods), node.symbol,
        ),
    )  # fmt: skip
    word = words.most_common(1)[0][0]
    kin = [
        Kin(node.symbol, node.module.path, node.one.line,
            round(_similarity(best.methods, node.methods, search), 2),
            _last_word(node.one.name) == word)
        for node in sorted(family, key=lambda node: node.symbol)
        if node is not best
    ]  # fmt: skip
    shared = set(family[0].methods).intersection(*(node.methods for node in family))
    weight = sum(map(search.weight, shared or best.methods))
    score = math.log1p(len(kin)) * weight * (1 + math.log1p(importers[best.symbol]))
    return Proposal(
        word.lower(), best.symbol, best.module.path, best.one.line, importers[best.symbol], kin,
        round(score, 2),
    )  # fmt: skip


def as_toml(proposals: Iterable[Proposal]) -> str:
    """A `ssot.toml` with its evidence as comments."""
    lines = ["# Proposed by `ssot init`: keep what is a role, correct what is its canonical.", ""]
    for one in proposals:
        lines.append(f"[roles.{one.name}]")
        lines.append(f"# {one.path}:{one.line}, imported by {one.importers} files. Like it are:")
        lines += [
            f"#   {kin.symbol} ({kin.path}:{kin.line}): likeness {kin.likeness}"
            f"{', and its name' if kin.named else ''}"
            for kin in one.kin[:12]
        ]
        if len(one.kin) > 12:
            lines.append(f"#   and {len(one.kin) - 12} more")
        lines += [f'canonical = "{one.canonical}"', ""]
    return "\n".join(lines)
