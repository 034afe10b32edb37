"""The wrong one, or the right one from the wrong place."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.roles.references import IMPORTING
from ssot.rules.base import ENGINE, Case, Rule, Violation, tree

_WRONG = frozenset({"rival", "alias", "re_export"})


def _find(audit: Audit) -> Iterator[Violation]:
    for name, role in audit.roles.items():
        members = role.inventory.members
        for one in role.references:
            if one.kind not in IMPORTING or one.area == "backup" or one.name is None:
                continue
            member = members.get(f"{one.module}:{one.name}")
            if member is None or member.relation not in _WRONG or member.path == one.path:
                continue
            what = member.relation.replace("_", "-")
            yield Violation(
                one.path, one.line, "noncanonical-import",
                f"{name}|{one.path}|{one.place}|{member.symbol}", member.symbol,
                f"imports {member.symbol}, a {what}; the canonical is {role.role.canonical}",
            )  # fmt: skip


RULE = Rule(
    "noncanonical-import",
    "an import of a rival, an alias or a re-export",
    """A file that imports a second implementation, or the canonical by a second name or from a second
place. These are the statements that a migration rewrites; until they are gone, nothing of what they
name can be deleted.""",
    _find,
    valid=(Case("the canonical from its module", tree(app__use="from app.engine import Engine\n")),),
    invalid=(
        Case("a rival", tree(
            app__old=ENGINE.replace("Engine", "OldEngine"),
            app__use="def go():\n    from app.old import OldEngine\n    return OldEngine()\n"),
            (("app/use.py", 2),)),
        Case("a re-export", tree(
            app__api="from app.engine import Engine\n", app__use="from app.api import Engine\n"),
            (("app/use.py", 1),)),
    ),
)  # fmt: skip
