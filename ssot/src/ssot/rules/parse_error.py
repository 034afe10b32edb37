"""Cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

from ssot.roles.audit import Audit
from ssot.rules.base import Case, Rule, Violation, tree


def _find(audit: Audit) -> Iterator[Violation]:
    for one in audit.unparsed:
        if one["parses_on"] is None and one["area"] != "backup":
            yield Violation(
                one["path"], one["line"], "parse-error", one["path"], one["path"],
                f"cannot be parsed: {one['message']}",
            )  # fmt: skip


RULE = Rule(
    "parse-error",
    "a file that no version of Python can parse",
    """A file with broken syntax: nothing in it runs, no test in it is collected, and no tool sees
what it refers to. Mend it or delete it. What only a newer Python parses is listed by the audit, and
is no violation.""",
    _find,
    valid=(Case("a newer syntax", tree(app__new="type Number = int\n")),),
    invalid=(Case("a conflict that was committed", tree(
        app__bad="<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n"), (("app/bad.py", 1),)),
        Case("an older language", tree(app__bad='x = 1\nprint "hello"\n'), (("app/bad.py", 2),))),
)  # fmt: skip
