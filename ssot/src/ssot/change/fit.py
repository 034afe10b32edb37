"""Whether the callers of a rival could call the canonical as they call it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from ssot.index.extract import Where, children, parse, walk_scopes
from ssot.index.facts import Class
from ssot.resolve.project import Module, Target
from ssot.roles.candidates import Search
from ssot.roles.deep import Call, chain
from ssot.roles.reading import Readings

_OF_EVERY_OBJECT = frozenset(
    {"__init__", "__new__", "__repr__", "__str__", "__eq__", "__ne__", "__hash__", "__doc__", "__del__",
     "__init_subclass__", "__class_getitem__", "__post_init__", "__reduce__", "__getstate__",
     "__setstate__", "__sizeof__", "__format__", "__dir__"}
)  # fmt: skip
_HARMLESS = frozenset({"bool", "id", "isinstance", "issubclass", "print", "repr", "str", "type"})
"""Who is given an instance or the class by a call of these does nothing more with it."""
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
        self._generators: dict[str, frozenset[str]] = {}

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
            elif not self._offers(name, signature, flags):
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
        yield from self._out_of_sight(module)

    def _out_of_sight(self, module: Module) -> Iterator[Difference]:
        """Places from which an instance, or the class, goes where nobody can see what is done with it."""
        of_class = self.whole()
        if not of_class:
            return  # whatever becomes of them, the new class can do it
        of_instance = [why for why in of_class if "__init__(" not in why]
        tree = parse(self._readings.analysis.read(module.path))
        types = self._readings.types(module)
        parents = {id(child): node for node in ast.walk(tree) for child in children(node)}
        for node, where, inner in _placed(tree):
            scope = where.scope
            if not isinstance(node, ast.Name | ast.Attribute | ast.Call):
                continue
            text = chain(node)
            if "?" in text or self._is_own(module, inner) or _stored(node):
                continue
            of, lacks = types.of(text, scope, inner), of_instance
            if of is None and not isinstance(node, ast.Call) and "(" not in text:
                of, lacks = self._readings.resolve(module, scope, text), of_class
            if of is None or of.symbol != self._old.symbol or not lacks:
                continue
            if lacks is of_class and isinstance(parents.get(id(node)), ast.Assign):
                continue  # a second name: that is a member of its own
            if not self._in_sight(module, node, parents, where.place):
                what = "an instance" if isinstance(node, ast.Call) else text
                why = f"what becomes of {what} here cannot be seen, and {lacks[0]}"
                yield Difference(module.path, node.lineno, why)

    def _in_sight(
        self, module: Module, node: ast.AST, parents: dict[int, ast.AST], place: str
    ) -> bool:
        parent = parents.get(id(node))
        match parent:
            case ast.Attribute() | ast.Expr() | ast.Compare() | ast.Await() | ast.withitem():
                return True
            case ast.Call(func=func):
                return func is node or chain(func) in _HARMLESS
            case ast.Assign(targets=targets) if parent.value is node:
                return all(self._held(module, target, place) for target in targets)
            case ast.AnnAssign(target=target) if parent.value is node:
                return self._held(module, target, place)
            case ast.ClassDef() | ast.ExceptHandler():
                return True  # told as such
        while isinstance(parent, ast.Subscript | ast.BinOp | ast.Tuple | ast.List):
            node, parent = parent, parents.get(id(parent))
        if isinstance(parent, ast.arg | ast.AnnAssign):
            return parent.annotation is node
        if isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef):
            return parent.returns is node
        return isinstance(parent, ast.Call) and chain(parent.func) in _HARMLESS

    def _held(self, module: Module, target: ast.expr, place: str) -> bool:
        """A variable whose uses are all in this file."""
        match target:
            case ast.Name(id=name):
                return place == "function" or (module.name, name) not in self._project.wanted_names
            case ast.Attribute(value=ast.Name(id="self"), attr=attr):
                return attr.startswith("_") or not self._reached_by(attr)
        return False

    def _reached_by(self, attribute: str) -> bool:
        """Some file uses, of something in an attribute of that name, what the new class lacks."""
        lacking = "|".join(
            name for name, (signature, flags) in self._had.items()
            if not (name.startswith("__") or self._offers(name, signature, flags))
        )  # fmt: skip
        used = re.compile(rf"\.{attribute}\s*\.\s*(?:{lacking})\b".encode())
        return any(
            used.search(self._readings.analysis.read(path)) is not None
            for path in self._project.by_path
        )  # fmt: skip

    def _offers(self, name: str, signature: str, flags: str) -> bool:
        """The new class has a method that takes every call of the old one's."""
        offered = self._has.get(name)
        return (
            offered is not None
            and ("a" in offered[1]) == ("a" in flags)
            and _takes(offered[0], signature)
        )

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
        had = self._had.get("__init__")
        for why in _misfit(call, init[0] if init else "", had[0] if had else ""):
            yield Difference(module.path, call.line, f"{name}({_shown(call)}): {why}")

    def _method(self, module: Module, call: Call, method: str) -> Iterator[Difference]:
        offered, had = self._has.get(method), self._had.get(method)
        where = f"{self._new.name}.{method}"
        if offered is None:
            if method in self._attributes:
                return
            yield Difference(module.path, call.line, f"{self._new.name} has no method {method}")
            return
        for why in self._kinds(method):
            yield Difference(module.path, call.line, f"{where} {why}")
        for why in _misfit(call, offered[0], had[0] if had else ""):
            yield Difference(module.path, call.line, f"{where}({_shown(call)}): {why}")

    def _kinds(self, method: str) -> Iterator[str]:
        """How a method that both have is another kind of thing."""
        offered, had = self._has.get(method), self._had.get(method)
        if offered is None or had is None:
            return
        kinds = {"a": "a coroutine", "c": "a class method", "s": "static", "p": "a property"}
        for letter, kind in kinds.items():
            if (letter in had[1]) != (letter in offered[1]):
                yield f"is {kind}" if letter in offered[1] else f"is not {kind}"
        if (method in self._yielding(self._old)) != (method in self._yielding(self._new)):
            yield "is a generator" if method in self._yielding(self._new) else "is no generator"

    def _yielding(self, target: Target) -> frozenset[str]:
        """Methods of a class, inherited ones too, that are generators."""
        known = self._generators.get(target.symbol)
        if known is None:
            module, one = self._class(target)
            places = self._search.methods(module, one).values() if one is not None else ()
            known = frozenset(
                method.name for home, _, method in places
                if method.line in self._generator_lines(home)
            )  # fmt: skip
            self._generators[target.symbol] = known
        return known

    def _generator_lines(self, module: Module) -> frozenset[int]:
        if module.facts.error is not None:
            return frozenset()
        tree = parse(self._readings.analysis.read(module.path))
        return frozenset(
            node.lineno for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _yields(node)
        )  # fmt: skip

    def as_a_thing(self) -> list[str]:
        """What language constructs (`with`, `for`, `len`, `except`...) can do with the old class only."""
        found = [
            f"{self._new.name} has no {name}" for name in sorted(self._had.keys() - self._has.keys())
            if name.startswith("__") and name.endswith("__") and name not in _OF_EVERY_OBJECT
        ]  # fmt: skip
        kinds = self._outer_bases(self._old) - self._outer_bases(self._new)
        kinds |= (
            self._working_bases(self._old) - self._working_bases(self._new) - {self._new.symbol}
        )
        return [*found, *(f"{self._new.name} is no {base}" for base in sorted(kinds))]

    def _working_bases(self, target: Target) -> set[str]:
        """The project's classes from which a class inherits something that is executed, or nothing but
        its kind."""
        module, one = self._class(target)
        above = self._search.ancestors(module, one) if one is not None else []
        return {
            found.symbol for found, _, base in above
            if not base.methods or any("t" not in method.flags for method in base.methods)
        }  # fmt: skip

    def _outer_bases(self, target: Target) -> set[str]:
        """Names of classes of other packages from which a class inherits."""
        module, one = self._class(target)
        if one is None:
            return set()
        found: set[str] = set()
        for home, current in [
            (module, one),
            *((m, c) for _, m, c in self._search.ancestors(module, one)),
        ]:
            for base, means in zip(current.bases, self._project.bases(home, current), strict=True):
                if self._project.class_of(means) is None:
                    found.add(base.rpartition(".")[2])
        return found - {"object", "ABC", "Generic", "Protocol"}

    def _others(self, module: Module) -> Iterator[Difference]:
        """Attributes that are read, and classes that inherit."""
        types = self._readings.types(module)
        tree = parse(self._readings.analysis.read(module.path))
        called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
        for node, where, inner in _placed(tree):
            if isinstance(node, ast.ClassDef):
                yield from self._inherits(module, node, where.scope)
            elif isinstance(node, ast.Attribute) and id(node) not in called:
                if self._is_own(module, inner):
                    continue
                text = chain(node.value)
                of = types.of(text, where.scope, inner)
                if of is None and "(" not in text:
                    of = self._readings.resolve(module, where.scope, text)
                if of is None or of.symbol != self._old.symbol or node.attr in _FREE:
                    continue
                name = f"{self._new.name}.{node.attr}"
                if node.attr not in self._attributes and node.attr not in self._has:
                    yield Difference(
                        module.path, node.lineno, f"{self._new.name} has no attribute {node.attr}"
                    )
                for why in self._kinds(node.attr):
                    yield Difference(module.path, node.lineno, f"{name} {why}")

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


def _placed(tree: ast.Module) -> Iterator[tuple[ast.AST, Where, str]]:
    """Every node with where it stands, and the class around it (dotted name), or ''."""
    inners: dict[str, str] = {"": ""}
    for node, where in walk_scopes(tree):
        inner = inners.get(where.scope, "")
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            inside = f"{where.scope}.{node.name}" if where.scope else node.name
            inners[inside] = inside if isinstance(node, ast.ClassDef) else inner
        yield node, where, inner


def _stored(node: ast.AST) -> bool:
    return isinstance(getattr(node, "ctx", None), ast.Store | ast.Del)


def _yields(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += children(one)
    return False


def _names(signature: str) -> list[str]:
    """Parameters that a call may give by their place."""
    found: list[str] = []
    for part in (part.strip() for part in signature.split(",")):
        if not part or part.startswith("*"):
            break
        found.append(part.rstrip("="))
    return found


def _swapped(before: list[str], now: list[str]) -> Iterator[str]:
    """Parameters that are given by their place and stand in another; a new name in the old place is
    taken for the same."""
    for one, other in zip(before, now, strict=False):
        if one != other and (one in now or other in before):
            yield f"takes {other} where {one} is given"


def _misfit(call: Call, signature: str, before: str) -> Iterator[str]:  # noqa: PLR0912 - a rule of calls each
    """Why the arguments of a call cannot be given to a signature as they were to the one before."""
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
    if "*" in named:
        if signature != before:
            yield "how many arguments it is given is not known"
        return
    yield from _swapped(_names(before)[: len(given)], _names(signature)[: len(given)])
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
