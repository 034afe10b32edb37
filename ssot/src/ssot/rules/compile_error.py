"""Can be parsed, and cannot be run."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.rules.base import Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    for path, (line, message) in audit.analysis.uncompiled(audit.within).items():
        if audit.analysis.project.by_path[path].area != "backup":
            yield Violation(
                path, line, "compile-error", path, path, f"cannot be compiled: {message}"
            )


RULE = Rule(
    "compile-error",
    "a file that can be parsed and not compiled",
    """The text is a syntax tree, and Python still refuses it when it is imported: `return` outside a
function, a `nonlocal` of a name that nobody binds, an argument twice. Tools that only parse do not
notice. Judged by the interpreter that runs ssot.""",
    _find,
    valid=(Case("a return in a function", tree(app__fine="def go():\n    return 1\n")),),
    invalid=(
        Case("a return outside one", tree(app__bad="x = 1\nreturn x\n"), (("app/bad.py", 2),)),
        Case("a nonlocal of nothing", tree(app__bad="def go():\n    nonlocal x\n    x = 1\n"),
             (("app/bad.py", 2),)),
    ),
)  # fmt: skip
