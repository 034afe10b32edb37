"""A second name."""

from ssot.rules.base import Case, Rule, tree
from ssot.rules.member_rules import of_relation

RULE = Rule(
    "alias",
    "a second name for a member of a role",
    """A name that means what another name means already. Whoever searches for one of them misses
those who use the other. Use the name of the class.""",
    of_relation("alias", "alias", "{symbol} is another name for {targets}", lambda m: not m.lying),
    valid=(
        Case("the name that it has", tree(app__use="from app.engine import Engine\n\nEngine()\n")),
        Case("another name within a function",
             tree(app__use="def go():\n    from app.engine import Engine as E\n    return E()\n")),
    ),
    invalid=(
        Case("an import with another name",
             tree(app__use="from app.engine import Engine as Runner\n"), (("app/use.py", 1),)),
        Case("an assignment", tree(app__use="from app import engine\n\nRunner = engine.Engine\n"),
             (("app/use.py", 3),)),
    ),
)  # fmt: skip
