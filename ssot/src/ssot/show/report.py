"""One self-contained page: inventory, who imports what, ways of events, the trend, the plan."""

from __future__ import annotations

import html
import json
from collections import Counter
from importlib import resources
from typing import Any

from ssot import git
from ssot.analysis import Analysis, analyse_revision
from ssot.change.plan import plan
from ssot.config import RELATIONS, Role
from ssot.errors import ConfigError, SsotError
from ssot.index.workers import Tell
from ssot.roles.audit import Audit, RoleAudit, audit
from ssot.roles.candidates import canonical_of
from ssot.roles.references import IMPORTING

_COUNTED = ("rival", "alias", "re_export", "ghost", "factory")


def report(found: Audit, history: int, tell: Tell) -> str:
    """The page's HTML."""
    analysis = found.analysis
    commits = _trend(analysis, found, history, tell)
    data = {
        "tree": analysis.root.resolve().name,
        "files": len(analysis.project.by_path),
        "relations": list(RELATIONS),
        "roles": {name: _role(found, role) for name, role in sorted(found.roles.items())},
        "trend": commits,
        "broken": [one._asdict() for one in found.broken],
        "unparsed": found.unparsed,
    }
    page = resources.files("ssot.show").joinpath("report.html").read_text("utf-8")
    text = json.dumps(data, ensure_ascii=False).replace("</", "<\\/")
    title = html.escape(f"One of each: {data['tree']}")
    return page.replace("{{title}}", title).replace("{{data}}", text)


def _role(found: Audit, role: RoleAudit) -> dict[str, Any]:
    members = [
        {
            "symbol": one.symbol, "path": one.path, "line": one.line, "relation": one.relation,
            "area": one.area, "liveness": one.liveness, "lying": one.lying, "targets": one.targets,
            "why": [evidence.why for evidence in one.evidence],
        }
        for one in role.members
    ]  # fmt: skip
    links = Counter[tuple[str, str]]()
    known = role.inventory.members
    for one in role.references:
        if one.kind not in IMPORTING:
            continue
        named = f"{one.module}:{one.name}"
        symbol = named if named in known else one.target if one.target in known else None
        if symbol is not None:
            links[one.path, symbol] += 1
    made = plan(found, role)
    areas = {path: module.area for path, module in found.analysis.project.by_path.items()}
    return {
        "canonical": role.role.canonical,
        "members": members,
        "links": [
            {"path": path, "symbol": symbol, "count": count, "area": areas.get(path, "")}
            for (path, symbol), count in sorted(links.items())
        ],
        "routes": [
            {"event": one.event, "owner": one.owner, "sink": one.sink, "kind": one.kind,
             "area": one.area, "path": one.path, "line": one.line}
            for one in role.routes
        ],
        "drift": [
            {"rule": one.rule, "method": one.method,
             "sites": [f"{site.path}:{site.line} {site.signature}" for site in one.sites]}
            for one in role.drift
        ],
        "plan": [
            {"id": step.id, "phase": step.phase, "kind": step.kind, "why": step.why,
             "risk": step.risk, "done": False}
            for step in made.steps
        ],
        "done": _done(found.analysis, role.role.name),
    }  # fmt: skip


def _done(analysis: Analysis, role: str) -> list[str]:
    """Steps that a migration has committed on its branch."""
    try:
        words = git.lines(analysis.root, "log", "--format=%(trailers:key=Step,valueonly)",
                          f"HEAD..ssot/{role}")  # fmt: skip
    except SsotError:
        return []
    return [line.strip() for line in words if line.strip()]


def counts(role: RoleAudit) -> dict[str, int]:
    """What a trend shows of a role."""
    relations = Counter(one.relation for one in role.members if one.area in ("app", "tooling"))
    importing = [one for one in role.references if one.kind in IMPORTING]
    wrong = {
        one.path for one in importing
        if (member := role.inventory.members.get(f"{one.module}:{one.name}")) is not None
        and member.relation in ("rival", "alias", "re_export", "ghost")
    }  # fmt: skip
    made = [one for one in role.constructions if one.area in ("app", "tooling")]
    return {
        **{relation: relations[relation] for relation in _COUNTED},
        "files that import another than the canonical": len(wrong),
        "constructions": len(made),
        "routes": sum(one.kind == "terminal" and one.area == "app" for one in role.routes),
    }


def _trend(analysis: Analysis, found: Audit, most: int, tell: Tell) -> list[dict[str, Any]]:
    """The same counts at past commits, the oldest first; nothing without git."""
    now = {"commit": "now", "date": "", "roles": {n: counts(r) for n, r in found.roles.items()}}
    try:
        log = git.lines(analysis.root, "log", "--first-parent", "--format=%H %cs", "--", ".")
    except SsotError:
        return [now]
    chosen = _spread(log, most)
    past: list[dict[str, Any]] = []
    for number, line in enumerate(chosen, 1):
        commit, date = line.split()
        tell("counting in past commits", number, len(chosen))
        try:
            then = analyse_revision(analysis.root, commit, analysis.config)
            wanted = {n: r.role for n, r in found.roles.items() if _was_there(then, r.role)}
            roles = {n: counts(role) for n, role in audit(then, wanted).roles.items()}
        except SsotError:
            continue
        past.append({"commit": commit[:8], "date": date, "roles": roles})
    return [*reversed(past), now]


def _was_there(then: Analysis, role: Role) -> bool:
    try:
        canonical_of(then.project, role)
    except ConfigError:
        return False
    return True


def _spread(log: list[str], most: int) -> list[str]:
    """As many lines as wanted, over the whole length, the newest first."""
    if len(log) <= most:
        return log
    if most < 2:
        return log[:most]
    return [log[round(number * (len(log) - 1) / (most - 1))] for number in range(most)]
