"""Grown apart."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.rules.base import ENGINE, WATCHED, Case, Rule, Violation, tree

_SAID = {
    "signature": "is called differently in members of the role",
    "missing_method": "is called on an object that has no such method",
    "swallowed": "is called on an object that has no such method, and the error is swallowed",
}


def _find(audit: Audit) -> Iterator[Violation]:
    for name, role in audit.roles.items():
        for one in role.drift:
            site = one.sites[0]
            module = audit.analysis.project.by_path[site.path]
            if module.area not in WATCHED:
                continue
            symbols = ",".join(sorted({site.symbol for site in one.sites}))
            others = "; ".join(f"{s.path}:{s.line} {s.signature}" for s in one.sites)
            yield Violation(
                site.path, site.line, "drift", f"{name}|{one.rule}|{one.method}|{symbols}",
                site.symbol, f"{one.method} {_SAID[one.rule]}: {others}",
            )  # fmt: skip


RULE = Rule(
    "drift",
    "members of a role that cannot stand in for one another",
    """Members that have the same method with other parameters, or objects that are given to a member
although it calls methods on them that they do not have; worst where a handler swallows the error.
Types come from constructor calls, annotations and single assignments; what is not known is not
guessed.""",
    _find,
    valid=(Case("the same parameters", tree(app__old=ENGINE.replace("Engine", "OldEngine"))),),
    invalid=(
        Case("other parameters", tree(
            app__old=ENGINE.replace("Engine", "OldEngine").replace("run(self)", "run(self, user)")),
            (("app/engine.py", 2),)),
        Case("no such method", tree(
            app__bus="class Bus:\n    def send(self): return 1\n",
            app__old=ENGINE.replace("Engine", "OldEngine")
            + "    def go(self, bus):\n        bus.publish()\n",
            app__use="from app.bus import Bus\nfrom app.old import OldEngine\n\n"
            "OldEngine().go(Bus())\n"), (("app/old.py", 6),)),
    ),
)  # fmt: skip
