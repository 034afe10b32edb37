"""An audit as text for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ssot.config import RELATIONS
from ssot.roles.audit import Audit, RoleAudit
from ssot.roles.members import Member
from ssot.roles.references import IMPORTING, importers, statements

_MOST = 12
"""Lines of a list; `--json` has all of it."""


def audit_text(
    found: Audit, areas: Sequence[str] | None = None, relations: Sequence[str] | None = None
) -> Iterator[str]:
    """Line by line; only of these areas and relations, if some are given."""
    wanted = _Wanted(areas, relations)
    project = found.analysis.project
    counts = Counter(module.area for module in project.by_path.values())
    parts = ", ".join(f"{count} {area}" for area, count in counts.most_common())
    yield f"{len(project.by_path)} files: {parts or 'none'}"
    if found.analysis.roots:
        yield f"live is what is reached from {', '.join(_some(found.analysis.roots))}"
    else:
        yield "what is live is not known: no script, entry point, __main__ or served application"
    for name, role in sorted(found.roles.items()):
        yield ""
        yield from _role(name, role, wanted)
    if found.duplicates:
        yield ""
        yield f"{len(found.duplicates)} class names are defined in several modules of the app:"
        for name, places in _ranked(found):
            where = ", ".join(f"{path}:{line}" for _, path, line in places[:4])
            more = f" and {len(places) - 4} more" if len(places) > 4 else ""
            yield f"  {name:30} {len(places)} times: {where}{more}"
        if len(found.duplicates) > _MOST:
            yield f"  ... {len(found.duplicates) - _MOST} more in --json"
    yield from _listed(
        "imports of what the project does not have",
        [f"{one.path}:{one.line}: {one.module}{':' + one.name if one.name else ''}"
         f"{'' if one.hard else ' (soft)'}" for one in found.broken],
    )  # fmt: skip
    yield from _listed(
        "files do not parse here",
        [f"{one['path']}:{one['line']}: {one['message']}"
         + (f" (Python {one['parses_on']})" if one["parses_on"] else "")
         for one in found.unparsed],
    )  # fmt: skip
    yield from _listed(
        "files were not read", [f"{path}: {why}" for path, why in found.analysis.found.skipped]
    )


def _ranked(found: Audit) -> list[tuple[str, list[tuple[str, str, int]]]]:
    return sorted(found.duplicates.items(), key=lambda one: (-len(one[1]), one[0]))[:_MOST]


class _Wanted:
    def __init__(self, areas: Sequence[str] | None, relations: Sequence[str] | None) -> None:
        self._areas, self._relations = areas, relations

    def area(self, name: str) -> bool:
        return not self._areas or name in self._areas

    def member(self, one: Member) -> bool:
        return self.area(one.area) and (not self._relations or one.relation in self._relations)


def _role(name: str, role: RoleAudit, wanted: _Wanted) -> Iterator[str]:
    counts = Counter(member.relation for member in role.members)
    told = ", ".join(f"{counts[r]} {r}" for r in RELATIONS if counts[r])
    yield f"role {name}: {told}"
    chosen = [member for member in role.members if wanted.member(member)]
    for member in sorted(chosen, key=lambda one: (RELATIONS.index(one.relation), one.symbol)):
        yield from _member(role, member)
    if role.inventory.decoys:
        yield f"  not counted: {', '.join(_some([one.symbol for one in role.inventory.decoys]))}"
    makers = [one for one in role.constructions if one.area != "test" and wanted.area(one.area)]
    yield from _listed(
        "constructions outside tests",
        [f"{one.path}:{one.line}: {one.owner} makes {one.target} ({one.how})" for one in makers],
        "  ",
    )
    ways = [one for one in role.routes if one.area != "test" and wanted.area(one.area)]
    yield from _listed(
        "ways on which events leave, outside tests",
        [f"{one.path}:{one.line}: {one.owner} sends {one.event} by {one.sink} ({one.kind})"
         for one in ways],
        "  ",
    )  # fmt: skip
    yield from _listed(
        "signs of drift",
        [f"{one.rule} {one.method}: "
         + "; ".join(f"{site.path}:{site.line} {site.signature}" for site in one.sites[:4])
         for one in role.drift],
        "  ",
    )  # fmt: skip


def _member(role: RoleAudit, member: Member) -> Iterator[str]:
    naming = [one for one in role.naming(member) if one.kind in IMPORTING]
    used = ""
    if naming:
        forms = Counter(_form(one.place, one.guard, one.type_checking) for one in naming)
        shape = ", ".join(f"{count} {form}" for form, count in sorted(forms.items()))
        used = f"; {len(importers(naming))} files import it in {len(statements(naming))} statements ({shape})"
    targets = f" -> {', '.join(member.targets)}" if member.targets else ""
    lying = " LYING" if member.lying else ""
    yield (
        f"  {member.relation:11} {member.symbol}{targets}{lying}  [{member.path}:{member.line}, "
        f"{member.area}, {member.liveness}]{used}"
    )


def _form(place: str, guard: str | None, type_checking: bool) -> str:
    if type_checking:
        return "for types"
    return "in try" if guard else "lazy" if place == "function" else "plain"


def _some(texts: list[str]) -> list[str]:
    return texts if len(texts) <= _MOST else [*texts[:_MOST], f"{len(texts) - _MOST} more"]


def _listed(what: str, texts: list[str], indent: str = "") -> Iterator[str]:
    if not texts:
        return
    if not indent:
        yield ""
    yield f"{indent}{len(texts)} {what}:"
    yield from (f"{indent}  {text}" for text in texts[:_MOST])
    if len(texts) > _MOST:
        yield f"{indent}  ... {len(texts) - _MOST} more in --json"
