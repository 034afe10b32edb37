"""Compares what is found in a fixture with its truth table."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ssot.analysis import analyse
from ssot.roles.audit import as_json, audit
from ssot.trust import test_files

_TARGETED = ("alias", "re_export", "adapter", "factory", "other_role")
Rows = dict[str, Counter[tuple[Any, ...]]]


def parses_here(version: str | None) -> bool:
    """This interpreter parses what was written for a version of Python."""
    return version is not None and sys.version_info >= tuple(map(int, version.split(".")))


def found_in(tree: Path) -> dict[str, Any]:
    """What the tool says of a tree, in the shape of a truth table."""
    analysis = analyse(tree)
    result = audit(analysis, analysis.config.roles)
    return as_json(result) | {"tests": [one.as_json() for one in test_files(result)]}


def rows(table: dict[str, Any]) -> Rows:
    """A table as countable rows, by category."""
    found: Rows = {}
    for category, row in _rows(table):
        found.setdefault(category, Counter())[row] += 1
    return found


def _rows(table: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for name, role in table["roles"].items():
        for one in role["members"]:
            targets = tuple(one["targets"]) if one["relation"] in _TARGETED else ()
            fields = ("symbol", "path", "line", "kind", "relation", "lying", "area", "liveness")
            yield "members", (name, *(one[field] for field in fields), targets)
        for one in role["decoys"]:
            yield "decoys", (name, one if isinstance(one, str) else one["symbol"])
        for one in role["refs"]:
            fields = ("path", "line", "kind", "target", "module", "name", "as", "place", "try",
                      "type_checking", "relative", "area")  # fmt: skip
            yield "refs", (name, *(one[field] for field in fields), tuple(one["via"]))
        for one in role["constructions"]:
            yield (
                "constructions",
                (name, *(one[f] for f in ("path", "line", "target", "owner", "how"))),
            )
        for one in role["routes"]:
            fields = ("path", "line", "event", "owner", "kind", "sink")
            yield "routes", (name, *(one[field] for field in fields))
        for one in role["vocabularies"]:
            yield (
                "vocabularies",
                (name, one["symbol"], one["path"], one["line"], tuple(one["events"])),
            )
        for one in role["drift"]:
            sites = tuple(sorted((s["symbol"], s["path"], s["line"]) for s in one["sites"]))
            yield "drift", (name, one["rule"], one["method"], sites)
    for one in table["broken"]:
        yield "broken", tuple(one[f] for f in ("path", "line", "module", "name", "area", "hard"))
    for one in table["unparsed"]:
        if parses_here(one["parses_on"]):
            continue  # this interpreter takes it
        yield "unparsed", tuple(one[f] for f in ("path", "line", "area", "parses_on"))
    for name, one in table["modules"].items():
        yield "modules", (name, one["path"], one["area"], one["liveness"])
    for one in table["tests"]:
        yield "tests", (one["path"], one["functions"], tuple(one["protects"]))
        for bad in one["trust"]:
            yield "trust", (one["path"], bad["rule"], bad["line"])


def compare(fixture: Path) -> tuple[Rows, Rows, Rows]:
    """(rows that are right, rows that are missing, rows that are too many) by category."""
    truth = rows(json.loads((fixture / "truth.json").read_text()))
    found = rows(found_in(fixture / "tree"))
    categories = sorted(truth.keys() | found.keys())
    right = {c: truth.get(c, Counter()) & found.get(c, Counter()) for c in categories}
    missing = {c: truth.get(c, Counter()) - found.get(c, Counter()) for c in categories}
    extra = {c: found.get(c, Counter()) - truth.get(c, Counter()) for c in categories}
    return right, missing, extra


def report(fixture: Path) -> Iterator[str]:
    """Precision and recall by category, and each row that differs."""
    right, missing, extra = compare(fixture)
    for category in right:
        hits, lost, more = (part[category].total() for part in (right, missing, extra))
        precision = hits / (hits + more) if hits + more else 1.0
        recall = hits / (hits + lost) if hits + lost else 1.0
        yield f"{category:14} {hits:4} right, precision {precision:.3f}, recall {recall:.3f}"
        for title, part in (("missing", missing), ("extra", extra)):
            for row in sorted(part[category], key=str):
                yield f"    {title}: {row}"


if __name__ == "__main__":
    import sys

    for line in report(Path(sys.argv[1])):
        print(line)
