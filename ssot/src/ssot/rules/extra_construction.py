"""Made somewhere else."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from ssot.roles.audit import Audit, RoleAudit
from ssot.rules.base import WATCHED, Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    for name, role in audit.roles.items():
        made = [one for one in role.constructions
                if one.area in WATCHED and one.target == role.role.canonical]  # fmt: skip
        allowed = _allowed(role, {one.owner for one in made})
        for one in made:
            if not any(fnmatchcase(one.owner, pattern) for pattern in allowed):
                yield Violation(
                    one.path, one.line, "extra-construction", f"{name}|{one.owner}", one.owner,
                    f"{one.owner} makes a {one.target} ({one.how}); only "
                    f"{', '.join(sorted(allowed)) or 'one place'} may",
                )  # fmt: skip


def _allowed(role: RoleAudit, owners: set[str]) -> set[str]:
    """Who may make one: those named, else the role's factories, else the only one who does."""
    if role.role.constructors:
        return set(role.role.constructors)
    made = {s for s, m in role.inventory.members.items() if m.relation == "factory"} & owners
    return made or (owners if len(owners) == 1 else set())


RULE = Rule(
    "extra-construction",
    "the canonical is made outside its constructors",
    """The canonical is made in a place that `constructors` of the role does not name (without that:
that is no factory of the role). What one place makes can be limited, counted and closed; what any
place makes cannot.""",
    _find,
    valid=(Case("one place", tree(
        app__host="from app.engine import Engine\n\nclass Host:\n    def go(self):\n        Engine().run()\n")),),
    invalid=(Case("two places", tree(
        app__host="from app.engine import Engine\n\nclass Host:\n    def go(self):\n        Engine().run()\n",
        app__side="from app.engine import Engine\n\nMINE = Engine()\n"),
        (("app/host.py", 5), ("app/side.py", 3))),),
)  # fmt: skip
