"""Defined twice."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.rules.base import Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    mine = {member.name for role in audit.roles.values() for member in role.members
            if member.kind == "class"}  # fmt: skip
    for name, places in audit.duplicates.items():
        if name not in mine:
            continue
        for symbol, path, line in places:
            yield Violation(
                path, line, "duplicate-definition", symbol, symbol,
                f"{len(places)} modules define a class {name}",
            )  # fmt: skip


RULE = Rule(
    "duplicate-definition",
    "several modules define a class of a member's name",
    """Two classes of the name of a role's member: an import decides which of them is meant, and a
reader cannot see it. Other names that are defined several times are listed by the audit.""",
    _find,
    valid=(Case("two names", tree(app__old="class Old:\n    def run(self): return 1\n")),),
    invalid=(Case("one name", tree(app__old="class Engine:\n    pass\n"),
                  (("app/engine.py", 1), ("app/old.py", 1))),),
)  # fmt: skip
