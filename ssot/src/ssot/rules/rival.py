"""A second implementation."""

from ssot.rules.base import ENGINE, Case, Rule, tree
from ssot.rules.member_rules import of_relation

RULE = Rule(
    "rival",
    "a second implementation of a role",
    """A class that does what the role's canonical does, beside it. Whoever fixes one of them leaves
the other as it is, and nobody knows which of them a request will meet. Move its callers to the
canonical, and delete it; `ssot plan` says in which order.""",
    of_relation("rival", "rival", "{symbol} is a second {name}; the canonical is {canonical}"),
    valid=(
        Case("the canonical alone", tree()),
        Case("a class whose name merely sounds alike",
             tree(app__search="class SearchEngine:\n    def query(self): return 1\n")),
    ),
    invalid=(
        Case("a class of the same name and methods", tree(app__old=ENGINE), (("app/old.py", 1),)),
        Case("a class whose name says nothing",
             tree(app__conductor=ENGINE.replace("Engine", "Conductor")), (("app/conductor.py", 1),)),
    ),
)  # fmt: skip
