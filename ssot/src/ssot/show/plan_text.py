"""A plan as Markdown, to discuss."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ssot.change.edits import Edit, shown
from ssot.change.plan import PHASES, Plan

_TITLES = {
    "dead": "What is dead",
    "names": "Second names and places",
    "strings": "Strings and texts",
    "importers": "Importers",
    "factories": "Factories",
    "rivals": "Rivals",
    "manual": "What a person has to do",
}


def plan_text(plan: Plan, read: Callable[[str], bytes]) -> Iterator[str]:
    """Line by line."""
    yield f"# Plan for the role {plan.role}"
    yield ""
    manual = sum(step.kind == "manual" for step in plan.steps)
    yield f"{len(plan.steps)} steps, {manual} of them by hand. Each leaves everything working."
    for phase in PHASES:
        steps = [step for step in plan.steps if step.phase == phase]
        if not steps:
            continue
        yield ""
        yield f"## {_TITLES[phase]}"
        for step in steps:
            yield ""
            yield f"### {step.id}"
            yield ""
            yield f"{step.why[:1].upper()}{step.why[1:]}. Risk: {step.risk}."
            if step.needs:
                yield f"Needs: {', '.join(step.needs)}."
            yield f"Protected by: {', '.join(step.tests) or 'no test'}."
            for one in step.differences:
                yield f"- {one.path}:{one.line}: {one.why}"
            yield from _edits(step.edits, read)
    if plan.kept:
        yield ""
        yield "## Kept"
        yield ""
        yield from (f"- {symbol}: {why}" for symbol, why in plan.kept)


def _edits(edits: list[Edit], read: Callable[[str], bytes]) -> Iterator[str]:
    for path in sorted({edit.path for edit in edits}):
        for one in shown(read(path), [edit for edit in edits if edit.path == path]):
            yield ""
            yield f"`{path}:{one['line']}`"
            yield "```diff"
            if one["after"] is None:
                yield f"- the whole file ({len(str(one['before']).splitlines())} lines)"
            else:
                yield from (f"- {line}" for line in str(one["before"]).splitlines())
                yield from (f"+ {line}" for line in str(one["after"]).splitlines())
            yield "```"
