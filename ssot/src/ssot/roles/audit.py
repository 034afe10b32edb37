"""The audit: everything that is known of a tree and its roles, in the contract's shape."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from ssot.analysis import Analysis
from ssot.config import Role
from ssot.resolve.broken import Broken, broken_imports
from ssot.roles.candidates import Search
from ssot.roles.drift import Drift, Drifts
from ssot.roles.members import Inventory, Member
from ssot.roles.reading import Readings
from ssot.roles.references import Reference, References
from ssot.roles.scan import Question, files_where
from ssot.roles.usage import (
    Construction,
    Route,
    Vocabulary,
    concerned,
    constructions,
    event_names,
    routes,
    saying,
    vocabularies,
)

SCHEMA = "ssot.audit/1"
_MADE = ("canonical", "subclass", "rival")


@dataclass
class RoleAudit:
    """What was found of one role."""

    role: Role
    inventory: Inventory
    references: list[Reference] = field(default_factory=list[Reference])
    constructions: list[Construction] = field(default_factory=list[Construction])
    routes: list[Route] = field(default_factory=list[Route])
    vocabularies: list[Vocabulary] = field(default_factory=list[Vocabulary])
    drift: list[Drift] = field(default_factory=list[Drift])

    @property
    def members(self) -> list[Member]:
        """By symbol."""
        return [self.inventory.members[symbol] for symbol in sorted(self.inventory.members)]

    def naming(self, member: Member) -> list[Reference]:
        """References whose statement or string names this member, not only what it is bound to."""
        return [
            one for one in self.references
            if (one.module == member.module and (one.name or "").partition(".")[0] == member.name)
            or (one.target == member.symbol and not one.via)
        ]  # fmt: skip


@dataclass
class Audit:
    """What was found in a tree."""

    analysis: Analysis
    readings: Readings
    search: Search
    broken: list[Broken]
    roles: dict[str, RoleAudit]
    unparsed: list[dict[str, Any]]
    duplicates: dict[str, list[tuple[str, str, int]]]
    """Class names that several app modules define: (symbol, path, line) of each."""
    within: Collection[str] | None = None
    """The files in which violations are asked for; None: in all."""


def audit(
    analysis: Analysis, roles: dict[str, Role], wanted: Collection[str] | None = None, *,
    imports_only: bool = False, within: Collection[str] | None = None,
) -> Audit:  # fmt: skip
    """Audit a tree. Raises `ConfigError` for a canonical that is not there.

    `wanted`: the roles that are asked for (None: all); the others are only told apart from them.
    `imports_only`: references in strings and documents, which no rule looks at, are not looked for.
    """
    readings = readings_of(analysis, roles)
    search = Search(analysis.project)
    found: dict[str, RoleAudit] = {}
    for name, role in roles.items():
        if wanted is None or name in wanted:
            others = [other for other in roles.values() if other.name != name]
            found[name] = RoleAudit(role, Inventory(readings, search, role, others))
    references = {name: _references(readings, one.inventory) for name, one in found.items()}
    questions: dict[tuple[str, str], Question] = {}
    for name, one in found.items():
        if one.role.events:
            questions[name, "events"] = saying(event_names(one.role.events))
        if not imports_only:
            questions[name, "naming"], questions[name, "patching"] = references[name].questions()
    files = dict(zip(questions, files_where(analysis, [*questions.values()]), strict=True))
    readings.prepare({path for paths in files.values() for path in paths})
    for name, one in found.items():
        _fill(one, readings, search, files.get((name, "events"), ()), within)
        naming, patching = files.get((name, "naming"), ()), files.get((name, "patching"), ())
        one.references = references[name].find(naming, patching)
    readings.keep()
    return Audit(
        analysis, readings, search, broken_imports(analysis.project), found, _unparsed(analysis),
        duplicates(search), within,
    )  # fmt: skip


def readings_of(analysis: Analysis, roles: dict[str, Role]) -> Readings:
    """Readings that know these roles' events."""
    return Readings(analysis, {n for role in roles.values() for n in event_names(role.events)})


def _references(readings: Readings, inventory: Inventory) -> References:
    members = inventory.members
    modules = {one.module for one in members.values() if one.relation != "ghost"}
    return References(readings, members, modules)


def _fill(
    result: RoleAudit, readings: Readings, search: Search, saying_events: Iterable[str],
    within: Collection[str] | None,
) -> None:  # fmt: skip
    inventory = result.inventory
    events = event_names(result.role.events)
    paths = sorted({*concerned(readings, inventory), *saying_events})
    if within is not None and not any(path in within for path in paths):
        return  # whatever there is, it is in other files
    readings.prepare(paths)
    classes = {s for s, m in inventory.members.items() if m.kind == "class" and m.relation in _MADE}
    result.constructions = constructions(readings, paths, classes)
    result.routes = routes(readings, paths, events)
    result.vocabularies = vocabularies(readings, paths, events)
    result.drift = Drifts(readings, search, inventory, paths).find()


def _unparsed(analysis: Analysis) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path, module in sorted(analysis.project.by_path.items()):
        if module.facts.error is not None:
            line, message = module.facts.error
            found.append({"path": path, "line": line, "message": message, "area": module.area,
                          "parses_on": module.facts.newer})  # fmt: skip
    return found


def duplicates(search: Search) -> dict[str, list[tuple[str, str, int]]]:
    """Class names (at module level) that more than one app module defines."""
    found: dict[str, list[tuple[str, str, int]]] = {}
    for module, one in search.classes():
        if module.area == "app" and "." not in one.name:
            found.setdefault(one.name, []).append(
                (f"{module.key}:{one.name}", module.path, one.line)
            )
    return {name: sorted(places) for name, places in sorted(found.items()) if len(places) > 1}


def as_json(found: Audit) -> dict[str, Any]:
    """The contract's object."""
    project = found.analysis.project
    areas = Counter(module.area for module in project.by_path.values())
    return {
        "schema": SCHEMA,
        "python": ".".join(map(str, sys.version_info[:3])),
        "roots": found.analysis.roots,
        "files": {"total": len(project.by_path), "by_area": dict(sorted(areas.items()))},
        "modules": {
            key: {"path": module.path, "area": module.area, "liveness": module.liveness}
            for key, module in sorted(project.modules.items())
        },
        "unparsed": found.unparsed,
        "skipped": [{"path": path, "reason": why} for path, why in found.analysis.found.skipped],
        "broken": [one._asdict() for one in found.broken],
        "roles": {name: role_json(role) for name, role in sorted(found.roles.items())},
        "duplicates": [
            {"name": name, "sites": [{"symbol": s, "path": p, "line": n} for s, p, n in places]}
            for name, places in found.duplicates.items()
        ],
    }


def role_json(found: RoleAudit) -> dict[str, Any]:
    """One role in the contract's shape."""
    return {
        "canonical": found.role.canonical,
        "members": [
            {
                "symbol": one.symbol, "path": one.path, "line": one.line, "kind": one.kind,
                "relation": one.relation, "targets": sorted(one.targets), "lying": one.lying,
                "area": one.area, "liveness": one.liveness,
                "evidence": [vars(evidence) for evidence in one.evidence],
            }
            for one in found.members
        ],
        "decoys": [vars(one) for one in found.inventory.decoys],
        "refs": [one.as_json() for one in found.references],
        "constructions": [vars(one) for one in found.constructions],
        "routes": [vars(one) for one in found.routes],
        "vocabularies": [
            {"symbol": one.symbol, "path": one.path, "line": one.line, "events": list(one.events)}
            for one in found.vocabularies
        ],
        "drift": [
            {"rule": one.rule, "method": one.method, "sites": [vars(site) for site in one.sites]}
            for one in found.drift
        ],
    }  # fmt: skip
