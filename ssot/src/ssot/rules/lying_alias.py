"""A name that means something else elsewhere."""

from ssot.rules.base import ENGINE, Case, Rule, tree
from ssot.rules.member_rules import of_relation

_OLD = ENGINE.replace("Engine", "OldEngine")
RULE = Rule(
    "lying-alias",
    "a name that is bound to one member, and is the name of another",
    """The name of one class, bound to another class. Whoever reads the import believes that the one
is used, and the other is. This is worse than two names: reviews and searches are told the wrong
thing. Give the class its own name where it is imported.""",
    of_relation("lying-alias", "alias",
                "{symbol} means {targets}, though a class of that name is another", lambda m: m.lying),
    valid=(Case("a fallback where an import may fail", tree(
        app__old=_OLD,
        app__use="try:\n    from app.engine import Engine\nexcept ImportError:\n    Engine = None\n")),),
    invalid=(
        Case("an old class under the new name", tree(
            app__old=_OLD, app__use="from app.old import OldEngine as Engine\n"),
            (("app/use.py", 1),)),
        Case("the new class under an old name", tree(
            app__old=_OLD, app__use="from app.engine import Engine as OldEngine\n"),
            (("app/use.py", 1),)),
    ),
)  # fmt: skip
