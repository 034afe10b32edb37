"""Where a role's classes are made, and by which ways its events leave."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from ssot.resolve.project import Module
from ssot.roles.deep import Call, snake
from ssot.roles.members import Inventory
from ssot.roles.reading import Readings
from ssot.roles.scan import Question, holds
from ssot.tree.files import encoded


@dataclass(frozen=True, order=True)
class Construction:
    """An instance is made. `how`: `call`, `cls`, `type_self`, `new`, `partial`."""

    path: str
    line: int
    owner: str
    how: str
    target: str
    area: str
    liveness: str


@dataclass(frozen=True, order=True)
class Route:
    """An event leaves: a class or function sends it (`terminal`), or has it sent (`wrapper`)."""

    path: str
    line: int
    event: str
    owner: str
    kind: str
    sink: str
    area: str
    liveness: str


@dataclass(frozen=True, order=True)
class Vocabulary:
    """A list of events."""

    path: str
    line: int
    symbol: str
    events: tuple[str, ...]


def event_names(events: Iterable[str]) -> dict[str, str]:
    """The names by which events are known in code: name to event as it was given.

    Of a symbol (`app.events:Started`, `app.events:Kind.STARTED`) its last name counts, in snake case; of
    a string (`run_started`, `run.started`) itself, and how an identifier would say it.
    """
    found: dict[str, str] = {}
    for event in events:
        name = event.rpartition(":")[2]
        if name == event or name == name.lower():
            found |= {event: event, re.sub(r"\W+", "_", snake(event)): event}
        else:
            found[snake(name.rpartition(".")[2])] = event
    return found


def owner_of(module: Module, function: str, inner: str) -> str:
    """The innermost class or the module-level function around a place, or the module."""
    name = inner or function.partition(".")[0]
    return f"{module.key}:{name}" if name else module.key


def constructions(
    readings: Readings, paths: Iterable[str], classes: Collection[str]
) -> list[Construction]:
    """Every construction of these classes in these files."""
    found: list[Construction] = []
    for path in paths:
        module = readings.project.by_path[path]
        for call in readings.deep(path).calls:
            made = _made(readings, module, call)
            if made is not None and made[0] in classes:
                found.append(
                    Construction(
                        path, call.line, owner_of(module, call.function, call.inner), made[1],
                        made[0], module.area, module.liveness,
                    )
                )  # fmt: skip
    return sorted(found)


def _made(readings: Readings, module: Module, call: Call) -> tuple[str, str] | None:
    """(symbol, how) of what a call makes."""
    chain = call.chain
    here = f"{module.key}:{call.inner}"
    first = next((value for name, value in call.arguments if not name), "")
    if chain == "cls" and call.inner:
        return here, "cls"
    if chain in ("type()", "self.__class__") and call.inner:
        return here, "type_self"
    if chain.endswith(".__new__"):
        made = first if first != "cls" else ""
        symbol = here if not made else _symbol(readings, module, call, made)
        return None if symbol is None else (symbol, "new")
    if first and _is_partial(readings, module, call):
        symbol = _symbol(readings, module, call, first)
        return None if symbol is None else (symbol, "partial")
    symbol = _symbol(readings, module, call, chain)
    return None if symbol is None else (symbol, "call")


def _is_partial(readings: Readings, module: Module, call: Call) -> bool:
    """It is `functools.partial`, whatever that is called here."""
    if call.chain.rpartition(".")[2] in ("partial", "partialmethod"):
        return True
    if not call.chain.isidentifier():
        return False
    found = readings.resolve(module, call.function, call.chain)
    return (
        found.kind == "external"
        and found.module == "functools"
        and found.name.startswith("partial")
    )


def _symbol(readings: Readings, module: Module, call: Call, chain: str) -> str | None:
    if not chain or "(" in chain or "[" in chain or chain.startswith(("'", '"', "?", "self.")):
        return None
    target = readings.resolve(module, call.function, chain)
    return target.symbol if target.kind == "symbol" else None


def routes(readings: Readings, paths: Iterable[str], events: dict[str, str]) -> list[Route]:
    """One for each owner and event; how it leaves itself counts before how it is handed on."""
    found: dict[tuple[str, str], Route] = {}
    for path in paths:
        module = readings.project.by_path[path]
        for use in sorted(readings.deep(path).uses, key=lambda one: (one.kind, one.line)):
            if use.event not in events:
                continue
            owner = owner_of(module, use.function, use.inner)
            found.setdefault(
                (owner, use.event),
                Route(path, use.line, events[use.event], owner, use.kind, use.sink, module.area,
                      module.liveness),
            )  # fmt: skip
    return sorted(found.values())


def vocabularies(
    readings: Readings, paths: Iterable[str], events: dict[str, str]
) -> list[Vocabulary]:
    """Enums and literal collections that hold at least two of the events."""
    return sorted(_vocabularies(readings, paths, events))


def _vocabularies(
    readings: Readings, paths: Iterable[str], events: dict[str, str]
) -> Iterator[Vocabulary]:
    for path in paths:
        module = readings.project.by_path[path]
        for one in readings.deep(path).collections:
            held = sorted({events[item] for item in one.items if item in events})
            if len(held) > 1:
                yield Vocabulary(path, one.line, f"{module.key}:{one.name}", tuple(held))


def saying(events: Collection[str]) -> Question:
    """Asks whether an event's name, in whatever spelling, occurs in a file."""
    low = {event.lower() for event in events}
    return holds({*low, *(event.replace("_", "") for event in low)}, any_case=True)


def concerned(readings: Readings, inventory: Inventory) -> list[str]:
    """Files that define or import a member."""
    project = readings.project
    modules = {member.module for member in inventory.members.values()}
    paths = {project.modules[name].path for name in modules if name in project.modules}
    paths.update(found.module.path for found in project.imports_of(modules))
    # `import package` may reach a member as `package.module.Name`.
    above = {name.rpartition(".")[0] for name in modules if "." in name}
    above |= {name.rpartition(".")[0] for name in above if "." in name}
    short = {encoded(member.name) for member in inventory.members.values()}
    for found in project.imports_of(above):
        path = found.module.path
        if found.target.kind == "module" and path not in paths:
            data = readings.analysis.read(path)
            if any(name in data for name in short):
                paths.add(path)
    return sorted(paths)
