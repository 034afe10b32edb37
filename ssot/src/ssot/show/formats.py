"""Violations as SARIF 2.1.0 and as annotations of GitHub's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ssot import __version__
from ssot.roles.audit import Audit
from ssot.rules import RULES, Violation
from ssot.rules.base import WATCHED


def sarif(found: Iterable[Violation]) -> dict[str, Any]:
    """A log of one run (OASIS SARIF 2.1.0)."""
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "ssot",
                        "version": __version__,
                        "rules": [
                            {
                                "id": rule.name,
                                "shortDescription": {"text": rule.summary},
                                "fullDescription": {"text": " ".join(rule.why.split())},
                            }
                            for rule in RULES.values()
                        ],
                    }
                },
                "results": [_result(one) for one in found],
            }
        ],
    }


def _result(one: Violation) -> dict[str, Any]:
    return {
        "ruleId": one.rule,
        "level": "error",
        "message": {"text": one.message},
        "partialFingerprints": {"ssotKey/v1": one.key},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": one.path, "uriBaseId": "%SRCROOT%"},
                    "region": {"startLine": one.line},
                }
            }
        ],
    }


def tid251(audit: Audit) -> dict[str, str]:
    """Names that ruff's rule TID251 should ban, and what it should say."""
    banned: dict[str, str] = {}
    for name, role in sorted(audit.roles.items()):
        for member in role.members:
            if (
                member.relation in ("rival", "alias", "re_export", "ghost")
                and member.area in WATCHED
            ):
                dotted = member.symbol.replace(":", ".")
                banned[dotted] = f"the {name} is {role.role.canonical.replace(':', '.')}"
    return dict(sorted(banned.items()))


def github(found: Iterable[Violation]) -> Iterator[str]:
    """Workflow commands, a line each."""
    for one in found:
        message = one.message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
        path = one.path.replace("%", "%25").replace(",", "%2C").replace(":", "%3A")
        yield f"::error file={path},line={one.line},title=ssot {one.rule}::{message}"
