"""Cannot be imported."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.rules.base import Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    for module, one, base, _ in audit.analysis.project.missing:
        if one.guard or one.handler or module.facts.error or module.area == "backup":
            continue
        named = base or "." * one.level
        what = f"{named}:{one.name}" if one.name else named
        yield Violation(
            module.path,
            one.line,
            "broken-import",
            f"{module.path}|{one.scope}|{what}",
            what,
            f"the project has no {what}",
        )


RULE = Rule(
    "broken-import",
    "an import of what the project does not have",
    """The statement names a module or a name of this project that is not there, and nothing catches
the error. At module level the file cannot be imported; in a function it fails when it is called.
Names that may come to be at run time (a module `__getattr__`, `globals()`) are not reported.""",
    _find,
    valid=(
        Case("a package that is not ours", tree(app__use="import numpy\nfrom requests import get\n")),
        Case("names made at run time", tree(
            app__lazy="def __getattr__(name):\n    return name\n",
            app__use="from app.lazy import anything\n")),
        Case("an error that is caught", tree(
            app__use="try:\n    from app.fast import speed\nexcept ImportError:\n    speed = 1\n")),
    ),
    invalid=(
        Case("no such module", tree(app__use="import app.gone\n"), (("app/use.py", 1),)),
        Case("no such name, in a function", tree(
            app__use="def go():\n    from .engine import gone\n    return gone\n"),
            (("app/use.py", 2),)),
    ),
)  # fmt: skip
