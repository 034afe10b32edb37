"""Came back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ssot.resolve.project import Project
from ssot.roles.audit import Audit
from ssot.rules.base import TOML, Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    yield from resurrected(audit.analysis.project, audit.analysis.config.retired)


def resurrected(project: Project, retired: Iterable[str]) -> Iterator[Violation]:
    """What was retired and exists again: modules, and `module:name` symbols."""
    for symbol in sorted(set(retired)):
        name, colon, attribute = symbol.partition(":")
        module = project.modules.get(name)
        if module is None:
            continue
        bindings = module.bindings(attribute.partition(".")[0]) if colon else []
        if colon and not bindings:
            continue
        line = bindings[-1].line if bindings else 1
        yield Violation(
            module.path, line, "resurrected", symbol, symbol, f"{symbol} was retired, and is back"
        )


RULE = Rule(
    "resurrected",
    "a module or a name that was retired exists again",
    """Something that was removed on purpose is there again: by a merge of an old branch, a copy from
a backup, or because somebody missed it. Retired is what `[retired] symbols` lists, what a migration
removed, and what the baseline has as a ghost. A baseline never allows it.""",
    _find,
    valid=(Case("it stays away", tree() | {
        "ssot.toml": TOML + '[retired]\nsymbols = ["app.old", "app.engine:OldEngine"]\n'}),),
    invalid=(
        Case("a module", tree(app__old="x = 1\n") | {
            "ssot.toml": TOML + '[retired]\nsymbols = ["app.old"]\n'}, (("app/old.py", 1),)),
        Case("a name", tree(app__names="A = 1\nOldEngine = 2\n") | {
            "ssot.toml": TOML + '[retired]\nsymbols = ["app.names:OldEngine"]\n'},
            (("app/names.py", 2),)),
    ),
)  # fmt: skip
