"""Files that concern roles, read whole, and what names mean inside their functions."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path

from ssot.analysis import Analysis
from ssot.index import cache
from ssot.index.facts import Import
from ssot.index.workers import spread
from ssot.resolve.project import Module, Target
from ssot.roles.deep import NOTHING, Assign, Deep, DeepFunction, read_deep
from ssot.tree.files import Entry


class Readings:
    """Deep facts of files, each read once; and the resolver inside of functions."""

    def __init__(self, analysis: Analysis, events: Iterable[str] = ()) -> None:
        self.analysis = analysis
        self.project = analysis.project
        self._events = frozenset(events)
        self._deep: dict[str, Deep] = {}
        self._types: dict[str, Types] = {}
        self._meant: dict[tuple[str, str, str], Target] = {}
        self._new = 0
        self._lazy: dict[str, dict[str, list[tuple[str, Import]]]] = {}

    def deep(self, path: str) -> Deep:
        """What is in a file; nothing in one that cannot be parsed."""
        found = self._deep.get(path)
        if found is None:
            found = self._deep[path] = self._read(path)
        return found

    def _read(self, path: str) -> Deep:
        if self.project.by_path[path].facts.error is not None:
            return NOTHING
        sha = self.analysis.ids[path]
        if sha not in self._known:
            self._known[sha] = deep_record(self.analysis.read(path), self._events)
            self._new += 1
        return Deep(marshal.loads(self._known[sha]))

    @cached_property
    def _known(self) -> dict[str, bytes]:
        """Records of contents, also of those that were read by an earlier command."""
        kept: tuple[tuple[str, ...], dict[str, bytes]]
        kept = cache.load(self.analysis.root, "deep") or ((), {})
        return kept[1] if kept[0] == tuple(sorted(self._events)) else {}

    def prepare(self, paths: Iterable[str]) -> None:
        """Read many files at once, in processes, before each is asked for."""
        if self.analysis.contents is not None:
            return
        wanted = {
            path for path in paths
            if self.project.by_path[path].facts.error is None
            and self.analysis.ids[path] not in self._known
        }  # fmt: skip
        entries = [one for one in self.analysis.found.code if one.path in wanted]
        work = partial(deep_records, self._events)
        answers = spread(
            str(self.analysis.root), entries, work, crashed, self.analysis.tell, "reading roles"
        )
        for path, record in answers:
            self._known[self.analysis.ids[path]] = record
            self._new += 1

    def keep(self) -> None:
        """Leave what was read for the next command; to write takes longer than to read a few again."""
        if self.analysis.contents is None and self._new * 50 > len(self._known):
            present = {
                sha: self._known[sha] for sha in self.analysis.ids.values() if sha in self._known
            }
            cache.save(self.analysis.root, "deep", (tuple(sorted(self._events)), present))
            self._new = 0

    def read(self) -> list[str]:
        """The files that were read."""
        return sorted(self._deep)

    # -- names in functions ------------------------------------------------------------------

    def _imports_in(self, module: Module) -> dict[str, list[tuple[str, Import]]]:
        found = self._lazy.get(module.path)
        if found is None:
            found = dict[str, list[tuple[str, Import]]]()
            for one in module.facts.imports:
                if one.place != "module" and one.kind in ("from", "import"):
                    bound = one.as_name or (one.name or one.module.partition(".")[0])
                    found.setdefault(bound, []).append((one.scope, one))
            self._lazy[module.path] = found
        return found

    def resolve(self, module: Module, scope: str, text: str) -> Target:
        """What a dotted name means in a function (its dotted name) or, with '', in the module."""
        key = (module.path, scope, text)
        found = self._meant.get(key)
        if found is None:
            found = self._meant[key] = self._resolve(module, scope, text)
        return found

    def _resolve(self, module: Module, scope: str, text: str) -> Target:
        first, _, rest = text.partition(".")
        local = self._local(module, scope, first)
        if local is not None:
            return self._below(local, rest)
        for around, one in self._imports_in(module).get(first, ()):
            if scope == around or scope.startswith(around + "."):
                if one.kind == "import" and not one.as_name:
                    found = (
                        Target("module", first)
                        if self.project.ours(first)
                        else Target("external", first)
                    )
                else:
                    found = self.project.target(module, one)
                return self._below(found, rest)
        return self.project.dotted(module, text)

    def _local(self, module: Module, scope: str, name: str) -> Target | None:
        """What a name means that a function binds itself; None if none around the place does."""
        types = self.types(module)
        while scope:
            if types.is_parameter(scope, name):
                return Target("uncertain", module.name, name)
            assigned = types.assigned(scope, name)
            if assigned:
                value = assigned[0].value
                if len(assigned) == 1 and value.replace(".", "").isidentifier() and value != name:
                    return self.resolve(module, scope, value)
                return Target("uncertain", module.name, name)
            scope = scope.rpartition(".")[0]
        return None

    def _below(self, found: Target, rest: str) -> Target:
        for part in rest.split(".") if rest else ():
            if found.kind == "module":
                found = self.project.lookup(found.module, part)
            elif found.kind == "symbol":
                found = found._replace(name=f"{found.name}.{part}")
            else:
                return found
        return found

    # -- types -------------------------------------------------------------------------------

    def types(self, module: Module) -> Types:
        """What is known of the types of expressions in a module."""
        found = self._types.get(module.path)
        if found is None:
            found = self._types[module.path] = Types(self, module)
        return found


def deep_record(data: bytes, events: frozenset[str]) -> bytes:
    """What is kept of a file's deep facts."""
    return marshal.dumps(read_deep(data, events).record)


def deep_records(
    events: frozenset[str], root: str, entries: Sequence[Entry]
) -> list[tuple[str, bytes]]:
    """Read some files; one that has gone holds nothing."""
    answers: list[tuple[str, bytes]] = []
    for entry in entries:
        try:
            data = Path(root, entry.path).read_bytes()
        except OSError:
            data = b""
        answers.append((entry.path, deep_record(data, events)))
    return answers


def crashed(_: str, entry: Entry) -> tuple[str, bytes]:
    """A file that ends the process which reads it."""
    return entry.path, marshal.dumps(NOTHING.record)


class Types:
    """Types of expressions, from constructor calls, annotations, single assignments, one call deep."""

    def __init__(self, readings: Readings, module: Module) -> None:
        self._readings = readings
        self._module = module
        self._deep = readings.deep(module.path)

    @cached_property
    def _assigned(self) -> dict[tuple[str, str], list[Assign]]:
        found: dict[tuple[str, str], list[Assign]] = {}
        for one in self._deep.assigns:
            key = (
                (one.inner, one.target)
                if one.target.startswith("self.")
                else (one.function, one.target)
            )
            found.setdefault(key, []).append(one)
        return found

    def is_parameter(self, function: str, name: str) -> bool:
        """A function (dotted name) has a parameter of that name."""
        known = self._functions.get(function)
        return known is not None and any(one.name == name for one in known.parameters)

    def assigned(self, function: str, name: str) -> list[Assign]:
        """What a function itself binds a name to."""
        return self._assigned.get((function, name), [])

    @property
    def _functions(self) -> dict[str, DeepFunction]:
        return self._deep.by_name

    def of(self, text: str, function: str, inner: str, depth: int = 0) -> Target | None:
        """The class of an expression; None where it is not known for sure."""
        if depth > 4 or not text or text.startswith(("'", '"', "?")):
            return None
        if text.endswith("()"):
            return self._of_call(text[:-2], function, inner, depth)
        if text in ("self", "cls") and inner:
            return Target("symbol", self._module.name, inner)
        if text.startswith("self.") and inner and "." not in text[5:]:
            assigned = self._assigned.get((inner, text), [])
            if not assigned:  # declared in the class's body
                assigned = [one for one in self._assigned.get(("", text[5:]), [])
                            if one.inner == inner and one.annotation]  # fmt: skip
            return self._single(assigned, depth)
        if "." in text or "[" in text:
            return None
        scope = function
        while scope:
            known = self._functions.get(scope)
            if known is not None:
                named = next((p for p in known.parameters if p.name == text), None)
                if named is not None:
                    again = self._assigned.get((scope, text))
                    return None if again else self._class(named.annotation, scope)
            found = self._assigned.get((scope, text))
            if found:
                return self._single(found, depth)
            scope = scope.rpartition(".")[0]
        found = self._assigned.get(("", text))
        return self._single(found, depth) if found else None

    def _single(self, assigns: list[Assign], depth: int) -> Target | None:
        annotated = [one for one in assigns if one.annotation]
        if annotated:
            return self._class(annotated[0].annotation, annotated[0].function)
        values = [one for one in assigns if one.value != "None"]
        if len(values) != 1:
            return None
        return self.of(values[0].value, values[0].function, values[0].inner, depth + 1)

    def _of_call(self, text: str, function: str, inner: str, depth: int) -> Target | None:
        if text in ("cls", "type()", "self.__class__") and inner:
            return Target("symbol", self._module.name, inner)
        if "(" in text or "[" in text:
            return None
        if text.startswith("self.") and inner:
            method = self._functions.get(f"{inner}.{text[5:]}")
            return None if method is None else self._returned(self._module, method, depth)
        target = self._readings.resolve(self._module, function, text)
        if target.kind != "symbol":
            return None
        if self._readings.project.class_of(target) is not None:
            return target
        other = self._readings.project.modules.get(target.module)
        if other is None or depth > 1:
            return None
        types = self if other is self._module else Types(self._readings, other)
        made = types._functions.get(target.name)
        return None if made is None else types._returned(other, made, depth)

    def _returned(self, module: Module, made: DeepFunction, depth: int) -> Target | None:
        if made.annotation:
            return self._class(made.annotation, made.name)
        if len(made.returned) == 1:
            return self.of(made.returned[0], made.name, made.owner, depth + 2)
        return None

    def _class(self, text: str, function: str) -> Target | None:
        if not text:
            return None
        target = self._readings.resolve(self._module, function, text)
        if target.kind != "symbol" or self._readings.project.class_of(target) is None:
            return None
        return target
