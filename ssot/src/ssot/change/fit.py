"""Whether the callers of a rival could call the canonical as they call it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from ssot.index.extract import parse, walk_scopes
from ssot.index.facts import Class
from ssot.resolve.project import Module, Target
from ssot.roles.candidates import Search
from ssot.roles.deep import Call, chain
from ssot.roles.reading import Readings

_FREE = frozenset({"__class__", "__dict__", "__doc__", "__module__", "__name__", "__qualname__"})


@dataclass(frozen=True, order=True)
class Difference:
    """Why a use does not fit."""

    path: str
    line: int
    why: str


class Fit:
    """Compares uses of one class with what another class offers."""

    def __init__(self, readings: Readings, search: Search, old: Target, new: Target) -> None:
        self._readings = readings
        self._search = search
        self._project = readings.project
        self._old, self._new = old, new
        self._has = self._methods(new)
        self._had = self._methods(old)
        self._attributes = self._attributes_of(new)

    def _methods(self, target: Target) -> dict[str, tuple[str, str]]:
        """Method -> (signature, flags), inherited ones too."""
        module, one = self._class(target)
        if one is None:
            return {}
        found = self._search.methods(module, one)
        return {name: (method.signature, method.flags) for name, (_, _, method) in found.items()}

    def _class(self, target: Target) -> tuple[Module, Class | None]:
        return self._project.modules[target.module], self._project.class_of(target)

    def _attributes_of(self, target: Target) -> set[str]:
        module, one = self._class(target)
        found = set[str](one.attributes if one else ())
        for _, _, base in self._search.ancestors(module, one) if one else ():
            found.update(base.attributes)
        return found

    def differences(self, path: str) -> list[Difference]:
        """What in a file does not fit."""
        return sorted(set(self._find(self._project.by_path[path])))

    def whole(self) -> list[str]:
        """What of all that the old class offers the new one lacks: for uses that nobody can see."""
        found: list[str] = []
        for name, (signature, flags) in sorted(self._had.items()):
            if name.startswith("_") and name != "__init__":
                continue
            offered = self._has.get(name)
            if offered is None:
                if name != "__init__" or signature:
                    found.append(f"{self._new.name} has no {name}({signature})")
            elif ("a" in offered[1]) != ("a" in flags) or not _takes(offered[0], signature):
                found.append(f"{self._new.name}.{name}({offered[0]}) instead of ({signature})")
        return found

    def _find(self, module: Module) -> Iterator[Difference]:
        types = self._readings.types(module)
        for call in self._readings.deep(module.path).calls:
            if self._is_own(module, call.inner):
                continue
            yield from self._call(module, call)
            held, _, method = call.chain.rpartition(".")
            if held and method:
                of = types.of(held, call.function, call.inner)
                if of is not None and of.symbol == self._old.symbol:
                    yield from self._method(module, call, method)
        yield from self._others(module)

    def _is_own(self, module: Module, inner: str) -> bool:
        """It stands in the old class itself, and goes with it."""
        return module.key == self._old.module and (inner + ".").startswith(self._old.name + ".")

    def _call(self, module: Module, call: Call) -> Iterator[Difference]:
        if "(" in call.chain or "[" in call.chain or call.chain.startswith(("self.", "'", '"')):
            return
        target = self._readings.resolve(module, call.function, call.chain)
        if target.symbol == self._old.symbol:
            yield from self._made(module, call)
        elif target.kind == "symbol" and target.symbol.startswith(self._old.symbol + "."):
            yield from self._method(module, call, target.name.rpartition(".")[2])

    def _made(self, module: Module, call: Call) -> Iterator[Difference]:
        name = self._new.name
        init = self._has.get("__init__")
        _, one = self._class(self._new)
        if init is None and one is not None and any("dataclass" in d for d in one.decorators):
            fields = ", ".join(f"{attribute}=" for attribute in one.attributes)
            init = (fields, "")
        for why in _misfit(call, init[0] if init else ""):
            yield Difference(module.path, call.line, f"{name}({_shown(call)}): {why}")

    def _method(self, module: Module, call: Call, method: str) -> Iterator[Difference]:
        offered, had = self._has.get(method), self._had.get(method)
        where = f"{self._new.name}.{method}"
        if offered is None:
            if method in self._attributes:
                return
            yield Difference(module.path, call.line, f"{self._new.name} has no method {method}")
            return
        if had is not None and ("a" in had[1]) != ("a" in offered[1]):
            is_async = "is" if "a" in offered[1] else "is not"
            yield Difference(module.path, call.line, f"{where} {is_async} a coroutine")
        for why in _misfit(call, offered[0]):
            yield Difference(module.path, call.line, f"{where}({_shown(call)}): {why}")

    def _others(self, module: Module) -> Iterator[Difference]:
        """Attributes that are read, and classes that inherit."""
        types = self._readings.types(module)
        tree = parse(self._readings.analysis.read(module.path))
        inners: dict[str, str] = {"": ""}
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node, where in walk_scopes(tree):
            if isinstance(node, ast.ClassDef):
                scope = f"{where.scope}.{node.name}" if where.scope else node.name
                inners[scope] = scope
                yield from self._inherits(module, node, where.scope)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                scope = f"{where.scope}.{node.name}" if where.scope else node.name
                inners[scope] = inners.get(where.scope, "")
            elif isinstance(node, ast.Attribute) and id(node) not in called:
                if self._is_own(module, inners.get(where.scope, "")):
                    continue
                of = types.of(chain(node.value), where.scope, inners.get(where.scope, ""))
                if of is None or of.symbol != self._old.symbol or node.attr in _FREE:
                    continue
                if node.attr not in self._attributes and node.attr not in self._has:
                    yield Difference(
                        module.path, node.lineno, f"{self._new.name} has no attribute {node.attr}"
                    )

    def _inherits(self, module: Module, node: ast.ClassDef, scope: str) -> Iterator[Difference]:
        for base in node.bases:
            target = self._readings.resolve(module, scope, chain(base))
            if target.symbol != self._old.symbol:
                continue
            own = {one.name for one in node.body
                   if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}  # fmt: skip
            strange = sorted(own & self._had.keys() - self._has.keys())
            if module.area != "test":
                yield Difference(
                    module.path, node.lineno, f"{node.name} inherits from {self._old.name}"
                )
            elif strange:
                yield Difference(
                    module.path, node.lineno, f"{node.name} overrides {', '.join(strange)}"
                )


def _misfit(call: Call, signature: str) -> Iterator[str]:
    """Why the arguments of a call cannot be given to a signature."""
    parts = [part.strip() for part in signature.split(",") if part.strip()]
    positional: list[str] = []
    keyword: list[str] = []
    star = any_keyword = False
    for part in parts:
        if part.startswith("**"):
            any_keyword = True
        elif part == "*":
            star = True
        elif part.startswith("*"):
            star = True
            positional.append("*")
        else:
            (keyword if star else positional).append(part)
    given = [value for name, value in call.arguments if not name]
    named = [name for name, _ in call.arguments if name]
    if "**" in named:
        yield "its keywords are not known"
        return
    names = [part.rstrip("=") for part in positional if part != "*"]
    if len(given) > len(names) and "*" not in positional:
        yield f"takes {len(names)} positional arguments"
    known = {*names, *(part.rstrip("=") for part in keyword)}
    for name in named:
        if name not in known and not any_keyword:
            yield f"has no parameter {name}"
        elif name in names[: len(given)]:
            yield f"is given {name} twice"
    required = [part for part in [*positional[len(given) :], *keyword]
                if part != "*" and not part.endswith("=") and part not in named]  # fmt: skip
    if required:
        yield f"needs {', '.join(required)}"


def _takes(new: str, old: str) -> bool:
    """True if every call that an old signature takes can be made of a new one."""
    had = [part.strip() for part in old.split(",") if part.strip()]
    has = [part.strip() for part in new.split(",") if part.strip()]
    if len(has) < len(had):
        return False
    same = all(
        one.rstrip("=") == other.rstrip("=") and (one.endswith("=") or not other.endswith("="))
        for one, other in zip(has, had, strict=False)
    )
    return same and all(one.endswith("=") or one.startswith("*") for one in has[len(had) :])


def _shown(call: Call) -> str:
    return ", ".join(f"{name}={value}" if name else value for name, value in call.arguments)
