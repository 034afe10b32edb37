"""What is not there any more."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.roles.references import IMPORTING
from ssot.rules.base import Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    for name, role in audit.roles.items():
        ghosts = {s for s, m in role.inventory.members.items() if m.relation == "ghost"}
        for one in role.references:
            if one.kind in IMPORTING and one.target in ghosts and one.area != "backup":
                yield Violation(
                    one.path, one.line, "ghost-import",
                    f"{name}|{one.path}|{one.place}|{one.target}", one.target,
                    f"imports {one.target}, which does not exist",
                )  # fmt: skip


RULE = Rule(
    "ghost-import",
    "an import of a member that does not exist",
    """An import of a class of the role from a module that has gone, or that never had it. In a `try`
or in a function nobody notices, until the line runs: then a fallback is taken that nobody wanted.""",
    _find,
    valid=(Case("a module that is there", tree(app__use="from app.engine import Engine\n")),),
    invalid=(
        Case("in a try", tree(
            app__use="try:\n    from app.fast import Engine\nexcept ImportError:\n    Engine = None\n"),
            (("app/use.py", 2),)),
        Case("in a function", tree(
            app__use="def go():\n    from app.engine import TurboEngine\n    return TurboEngine()\n"),
            (("app/use.py", 2),)),
    ),
)  # fmt: skip
