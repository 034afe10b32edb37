"""A second place."""

from ssot.rules.base import Case, Rule, tree
from ssot.rules.member_rules import of_relation

RULE = Rule(
    "re-export",
    "a second place from which a member can be imported",
    """A module that offers what another module defines, under the same name. Each such place is one
more path by which importers are found, or missed, when the class moves. A package that offers its
own class to the world is a good reason to allow one.""",
    of_relation("re-export", "re_export", "{symbol} offers {targets} a second time"),
    valid=(Case("a module that uses it", tree(
        app__use="from app.engine import Engine\n\nEngine()\n")),),
    invalid=(
        Case("in __all__", tree(app__api='from app.engine import Engine\n\n__all__ = ["Engine"]\n'),
             (("app/api.py", 1),)),
        Case("imported from there", tree(
            app__api="from app.engine import Engine\n", app__use="from app.api import Engine\n"),
            (("app/api.py", 1),)),
    ),
)  # fmt: skip
