"""Parts of an audit: by area and by relation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_WITH_AREA = ("members", "refs", "constructions", "routes")


def only(
    found: dict[str, Any], areas: Sequence[str] | None, relations: Sequence[str] | None
) -> dict[str, Any]:
    """The audit's object with only these areas and relations in its roles."""
    if not areas and not relations:
        return found
    result = dict(found)
    result["roles"] = {name: _role(role, areas, relations) for name, role in found["roles"].items()}
    if areas:
        for key in ("unparsed", "broken"):
            result[key] = [one for one in found[key] if one["area"] in areas]
    return result


def _role(
    role: dict[str, Any], areas: Sequence[str] | None, relations: Sequence[str] | None
) -> dict[str, Any]:
    result = dict(role)
    if relations:
        result["members"] = [one for one in role["members"] if one["relation"] in relations]
        kept = {one["symbol"] for one in result["members"]}
        result["refs"] = [
            one for one in role["refs"]
            if one["target"] in kept or f"{one['module']}:{one['name']}" in kept
        ]  # fmt: skip
    if areas:
        for key in _WITH_AREA:
            result[key] = [one for one in result[key] if one["area"] in areas]
    return result
