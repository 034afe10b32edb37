"""Rules that look at members of roles by their relation."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ssot.roles.audit import Audit
from ssot.roles.members import Member
from ssot.rules.base import WATCHED, Violation


def of_relation(
    rule: str, relation: str, message: str, wanted: Callable[[Member], bool] = lambda _: True
) -> Callable[[Audit], Iterator[Violation]]:
    """A rule's `find`: every watched member of a relation."""

    def find(audit: Audit) -> Iterator[Violation]:
        for name, role in audit.roles.items():
            for member in role.members:
                if member.relation == relation and member.area in WATCHED and wanted(member):
                    targets = ", ".join(member.targets)
                    yield Violation(
                        member.path, member.line, rule, f"{name}|{member.symbol}", member.symbol,
                        message.format(name=name, symbol=member.symbol, targets=targets,
                                       canonical=role.role.canonical),
                    )  # fmt: skip

    return find
