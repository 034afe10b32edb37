"""Where a number that somebody wrote may come from: the definitions under which it comes out.

A definition is a unit (what is counted) of a subject (of what) in a scope (where).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ssot.errors import ConfigError
from ssot.roles.audit import Audit, RoleAudit
from ssot.roles.deep import snake
from ssot.roles.references import IMPORTING, Reference
from ssot.tree.files import encoded
from ssot.trust import test_functions

_NEAREST = 5
Place = tuple[str, str]
"""A file, and what in it is counted."""


@dataclass(frozen=True)
class Definition:
    """`unit` of `subject`, everywhere: what a scope cuts out of it is counted."""

    unit: str
    subject: str
    places: frozenset[Place]


@dataclass(frozen=True)
class Match:
    """A definition in a scope, and what comes out."""

    definition: str
    count: int
    files: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """What was tried for a number."""

    number: int
    tried: int
    matches: list[Match]
    nearest: list[Match]
    written_at: list[tuple[str, int]]
    refuted: Match | None
    """What comes out of the definition that was given, if it is not the number."""

    def as_json(self) -> dict[str, Any]:
        """The contract's object."""
        return {
            "number": self.number,
            "tried": self.tried,
            "matches": [vars(one) | {"files": list(one.files)} for one in self.matches],
            "nearest": [vars(one) | {"files": list(one.files)} for one in self.nearest],
            "written_at": [{"path": path, "line": line} for path, line in self.written_at],
            "refuted": None if self.refuted is None else vars(self.refuted) | {"files": list(self.refuted.files)},
        }  # fmt: skip


def number_in(text: str) -> int:
    """`53`, `53+`, `~53`, `1,200`. Raises `ConfigError`."""
    found = re.fullmatch(r"[~≈>=]*\s*(\d{1,3}(?:,\d{3})+|\d+)\s*\+?(?:\s+\w+)*", text.strip())
    if found is None:
        raise ConfigError(f"{text!r} is no number; write it as 53 or 53+")
    return int(found[1].replace(",", ""))


def explain(
    audit: Audit, number: int, names: tuple[str, ...] = (), given: str | None = None
) -> Explanation:
    """Try every definition. Raises `ConfigError` for a given one that there is not."""
    counted = list(_counted(audit, names))
    matches = sorted((one for one in counted if one.count == number), key=_rank)
    others = sorted(
        (one for one in counted if one.count != number),
        key=lambda one: (abs(one.count - number), _rank(one)),
    )
    refuted = None
    if given is not None:
        asked = next((one for one in counted if one.definition == given), None)
        if asked is None:
            raise ConfigError(
                f"there is no definition {given!r}; they read like {counted[0].definition!r}"
            )
        refuted = None if asked.count == number else asked
    return Explanation(
        number, len(counted), matches, others[:_NEAREST], _written(audit, number), refuted
    )


def _rank(one: Match) -> tuple[int, str]:
    return (len(one.definition), one.definition)


def _counted(audit: Audit, names: tuple[str, ...]) -> Iterator[Match]:
    scopes = list(_scopes(audit))
    seen: set[str] = set()
    for definition in _Definitions(audit, names).all():
        for scope, holds in scopes:
            text = f"{definition.unit} {definition.subject}{scope}"
            if text in seen:
                continue
            seen.add(text)
            places = {place for place in definition.places if holds(place[0])}
            if places or not scope:
                files = tuple(sorted({path for path, _ in places}))
                yield Match(text, len(places), files)


def _scopes(audit: Audit) -> Iterator[tuple[str, Callable[[str], bool]]]:
    by_path = audit.analysis.project.by_path
    yield "", lambda _: True
    areas = sorted({module.area for module in by_path.values()})
    for area in areas:
        yield f" in {area}", lambda path, area=area: path in by_path and by_path[path].area == area
    both = ("app", "tooling")
    yield " in app and tooling", lambda path: path in by_path and by_path[path].area in both
    yield " outside test", lambda path: path in by_path and by_path[path].area != "test"
    for folder in sorted({path.partition("/")[0] for path in by_path if "/" in path}):
        yield f" in {folder}/", lambda path, folder=folder: path.startswith(folder + "/")


class _Definitions:
    def __init__(self, audit: Audit, names: tuple[str, ...]) -> None:
        self._audit = audit
        self._project = audit.analysis.project
        self._lists: dict[str, frozenset[str]] = (
            {"the names given": frozenset(names)} if names else {}
        )

    def all(self) -> Iterator[Definition]:
        yield Definition("files", "of code", frozenset((p, p) for p in self._project.by_path))
        yield from self._tests("", self._test_paths)
        yield from self._classes()
        for name, role in sorted(self._audit.roles.items()):
            yield from self._members(name, role)
            yield from self._references(name, role)
            yield from self._listed(role)
            yield from self._texts(name, role)

    def _listed(self, role: RoleAudit) -> Iterator[Definition]:
        """Classes that have a name out of a list."""
        for title, listed in self._name_lists(role).items():
            defined = frozenset(
                (module.path, one.name) for module, one in self._audit.search.classes()
                if one.name.rpartition(".")[2] in listed
            )  # fmt: skip
            names = frozenset((path, path) for path, _ in defined)
            yield Definition("classes", f"of {title}", defined)
            yield Definition("files", f"that define {title}", names)

    # -- tests --------------------------------------------------------------------------------

    @cached_property
    def _test_paths(self) -> frozenset[str]:
        return frozenset(
            path for path, module in self._project.by_path.items()
            if module.area == "test" and test_functions(module.facts)
        )  # fmt: skip

    def _tests(self, subject: str, paths: Iterable[str]) -> Iterator[Definition]:
        inside = self._test_paths.intersection(paths)
        yield Definition("test files", subject or "of all", frozenset((p, p) for p in inside))
        functions = frozenset(
            (path, name) for path in inside
            for name in test_functions(self._project.by_path[path].facts)
        )  # fmt: skip
        yield Definition("test functions", subject or "of all", functions)

    # -- classes and members ------------------------------------------------------------------

    def _classes(self) -> Iterator[Definition]:
        everything = frozenset(
            (module.path, one.name) for module, one in self._audit.search.classes()
        )
        yield Definition("classes", "of all", everything)
        names = frozenset((places[0][1], name) for name, places in self._audit.duplicates.items())
        yield Definition("names", "of classes that several app modules define", names)

    def _members(self, name: str, role: RoleAudit) -> Iterator[Definition]:
        members = role.members
        relations = sorted({member.relation for member in members})
        groups: dict[str, set[str]] = {relation: {relation} for relation in relations}
        groups["canonical or rival"] = {"canonical", "rival"}
        groups["canonical, rival, subclass or adapter"] = {
            "canonical",
            "rival",
            "subclass",
            "adapter",
        }
        groups["member"] = set(relations)
        groups["member but the canonical"] = set(relations) - {"canonical"}
        for group, wanted in groups.items():
            chosen = [member for member in members if member.relation in wanted]
            places = frozenset((member.path, member.symbol) for member in chosen)
            yield Definition("names", f"of {name}: {group}", places)
            yield Definition(
                "files", f"that hold {name}: {group}", frozenset((p, p) for p, _ in places)
            )
            classes = frozenset((m.path, m.symbol) for m in chosen if m.kind == "class")
            yield Definition("classes", f"of {name}: {group}", classes)
        word = role.inventory.patterns[0].strip("*") if role.inventory.patterns else name
        for title, test in (("named like", str.endswith), ("with the name of", str.__contains__)):
            named = frozenset(
                (module.path, one.name) for module, one in self._audit.search.classes()
                if word and test(one.name.rpartition(".")[2], word)
            )  # fmt: skip
            yield Definition("classes", f"{title} {name} ({word})", named)
        for symbol in ("constructions", "routes", "vocabularies"):
            found = getattr(role, symbol)
            places = frozenset((one.path, f"{one.line} {getattr(one, 'owner', '')}"
                                f"{getattr(one, 'event', '')}") for one in found)  # fmt: skip
            yield Definition("names", f"of {name}: {symbol}", places)

    # -- references ---------------------------------------------------------------------------

    def _references(self, name: str, role: RoleAudit) -> Iterator[Definition]:
        importing = [one for one in role.references if one.kind in IMPORTING]
        inventory = role.inventory.members
        relation = {symbol: member.relation for symbol, member in inventory.items()}
        groups: dict[str, Callable[[Reference], bool]] = {
            f"{name}: any member": lambda one: one.target in relation,
            f"{name}: anything of its modules": lambda _: True,
            f"{name}: all but the canonical": lambda one: (
                one.target in relation and (relation[one.target] != "canonical" or bool(one.via))
            ),
        }
        for wanted in sorted(set(relation.values())):
            groups[f"{name}: {wanted}"] = lambda one, wanted=wanted: (
                relation.get(f"{one.module}:{one.name}", relation.get(one.target)) == wanted
            )
        for symbol in sorted(inventory):
            groups[symbol] = lambda one, symbol=symbol: (
                symbol in (one.target, f"{one.module}:{one.name}")
            )
        for module in sorted({member.module for member in inventory.values()}):
            groups[module] = lambda one, module=module: one.module == module
        for title, listed in self._name_lists(role).items():
            groups[title] = lambda one, listed=listed: (one.name or "") in listed
        for title, holds in groups.items():
            chosen = [one for one in importing if holds(one)]
            yield from self._imported(title, chosen)

    def _imported(self, title: str, chosen: list[Reference]) -> Iterator[Definition]:
        files = frozenset((one.path, one.path) for one in chosen)
        yield Definition("files", f"that import {title}", files)
        yield Definition(
            "statements", f"that import {title}",
            frozenset((one.path, str(one.line)) for one in chosen),
        )  # fmt: skip
        yield Definition(
            "names", f"imported of {title}",
            frozenset((one.path, f"{one.line}:{one.module}:{one.name}") for one in chosen),
        )  # fmt: skip
        yield from self._tests(f"that import {title}", {path for path, _ in files})

    def _name_lists(self, role: RoleAudit) -> dict[str, frozenset[str]]:
        found = dict(self._lists)
        names = {member.name for member in role.members}
        needles = [encoded(name.rpartition(".")[2]) for name in names]
        for path in sorted(self._project.by_path):
            data = self._audit.analysis.read(path)
            if sum(needle in data for needle in needles) < 2:
                continue
            for one in self._audit.readings.deep(path).collections:
                held = {item.rpartition(".")[2].rpartition(":")[2] for item in one.items}
                if len(held & names) > 1:
                    found[f"a name in {one.name} ({path})"] = frozenset(held)
        return found

    # -- texts --------------------------------------------------------------------------------

    def _texts(self, name: str, role: RoleAudit) -> Iterator[Definition]:
        camel = role.role.canonical.rpartition(":")[2].rpartition(".")[2]
        spellings = dict.fromkeys([camel, snake(camel), name])
        for spelling in spellings:
            pattern = re.compile(rf"\b{re.escape(spelling)}\b")
            files: set[Place] = set()
            lines: set[Place] = set()
            for path in self._project.by_path:
                data = self._audit.analysis.read(path)
                if spelling.encode() not in data:
                    continue
                for number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
                    if pattern.search(line):
                        files.add((path, path))
                        lines.add((path, str(number)))
            yield Definition("files", f"with the text {spelling}", frozenset(files))
            yield Definition("statements", f"or lines with the text {spelling}", frozenset(lines))


def _written(audit: Audit, number: int) -> list[tuple[str, int]]:
    """Where the number stands in a text, with a word after it."""
    pattern = re.compile(rf"(?<![\w.,/:-]){number:,}|(?<![\w.,/:-]){number}(?![\w.,]*\d)")
    found: list[tuple[str, int]] = []
    texts = [entry.path for entry in audit.analysis.found.texts]
    for path in [*texts, *audit.analysis.project.by_path]:
        data = audit.analysis.read(path)
        if str(number).encode() not in data and f"{number:,}".encode() not in data:
            continue
        for line_number, line in enumerate(data.decode(errors="replace").splitlines(), 1):
            said = line if not path.endswith(".py") else line.partition("#")[2] or _quoted(line)
            if pattern.search(said):
                found.append((path, line_number))
    return sorted(set(found))


def _quoted(line: str) -> str:
    """The words of a line that looks like prose: of a docstring, not of code."""
    return line if re.search(r"\d\+?\s+[a-z]{3,}", line) and "=" not in line else ""
