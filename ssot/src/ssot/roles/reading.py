"""Files that concern roles, read whole, and what names mean inside their functions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property

from ssot.analysis import Analysis
from ssot.index.facts import Import
from ssot.resolve.project import Module, Target
from ssot.roles.deep import NOTHING, Assign, Deep, DeepFunction, read_deep


class Readings:
    """Deep facts of files, each read once; and the resolver inside of functions."""

    def __init__(self, analysis: Analysis, events: Iterable[str] = ()) -> None:
        self.analysis = analysis
        self.project = analysis.project
        self._events = frozenset(events)
        self._deep: dict[str, Deep] = {}
        self._lazy: dict[str, dict[str, list[tuple[str, Import]]]] = {}

    def deep(self, path: str) -> Deep:
        """What is in a file; nothing in one that cannot be parsed."""
        found = self._deep.get(path)
        if found is None:
            module = self.project.by_path[path]
            found = NOTHING if module.facts.error else read_deep(
                self.analysis.read(path), self._events
            )  # fmt: skip
            self._deep[path] = found
        return found

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
        first, _, rest = text.partition(".")
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
        return Types(self, module)


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

    @cached_property
    def _functions(self) -> dict[str, DeepFunction]:
        return {one.name: one for one in self._deep.functions}

    def of(self, text: str, function: str, inner: str, depth: int = 0) -> Target | None:
        """The class of an expression; None where it is not known for sure."""
        if depth > 4 or not text or text.startswith(("'", '"', "?")):
            return None
        if text.endswith("()"):
            return self._of_call(text[:-2], function, inner, depth)
        if text in ("self", "cls") and inner:
            return Target("symbol", self._module.name, inner)
        if text.startswith("self.") and inner and "." not in text[5:]:
            return self._single(self._assigned.get((inner, text), []), depth)
        if "." in text or "[" in text:
            return None
        scope = function
        while scope:
            known = self._functions.get(scope)
            if known is not None:
                named = next((p for p in known.parameters if p.name == text), None)
                if named is not None:
                    return self._class(named.annotation, scope)
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
