"""References: every place that names a symbol or a module, in whichever form."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from ssot.index.facts import Import
from ssot.resolve.project import Module, Target
from ssot.roles.reading import Readings
from ssot.roles.scan import Question, both, holds

IMPORTING = ("from", "import", "star")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+(?::[A-Za-z_][\w.]*)?")


@dataclass(frozen=True, order=True)
class Reference:
    """One name that one statement, string or text refers to; see the contract's REF."""

    path: str
    line: int
    target: str
    module: str
    name: str | None
    as_name: str | None
    kind: str
    place: str
    guard: str | None
    type_checking: bool
    relative: bool
    via: tuple[str, ...]
    area: str
    read_by: str

    def as_json(self) -> dict[str, object]:
        """The contract's shape."""
        return {
            "target": self.target, "module": self.module, "name": self.name, "as": self.as_name,
            "kind": self.kind, "place": self.place, "try": self.guard,
            "type_checking": self.type_checking, "relative": self.relative,
            "via": list(self.via), "path": self.path, "line": self.line, "area": self.area,
            "read_by": self.read_by,
        }  # fmt: skip


class References:
    """Finds what refers to some symbols (`module:Qualname`, also of modules that do not exist) and what
    is beneath them, and to some modules."""

    def __init__(
        self, readings: Readings, symbols: Collection[str], modules: Collection[str]
    ) -> None:
        self._analysis = readings.analysis
        self._project = readings.project
        self._readings = readings
        self._symbols = frozenset(symbols)
        self._modules = frozenset(modules)
        self._wanted = _Wanted(symbols, modules, self._project.modules)
        self._looked_up = self._where_looked_up()

    def questions(self) -> tuple[Question, Question]:
        """Ask of a file whether it may name one of them, and whether it may patch one."""
        names = holds({name for _, name, _ in self._looked_up.values()})
        patching = holds(("patch", "setattr", "delattr"))
        return self._wanted.question(), both(patching, names)

    def find(self, naming: Iterable[str] = (), patching: Iterable[str] = ()) -> list[Reference]:
        """All imports, and, in the files for which the questions were answered with yes, texts."""
        found = {*self._imports(self._symbols, self._modules)}
        found.update(self._texts(naming))
        found.update(self._patches(patching))
        return sorted(found, key=_order)

    # -- imports -----------------------------------------------------------------------------

    def _imports(self, symbols: frozenset[str], modules: frozenset[str]) -> Iterator[Reference]:
        homes = {*modules, *(symbol.partition(":")[0] for symbol in symbols)}
        for module, one, base, target in self._project.imports_of(homes):
            named = f"{base}:{one.name}" if one.name else base
            if not (
                target.symbol in symbols
                or (
                    target.module in modules
                    and target.kind in ("symbol", "module", "missing", "uncertain")
                )
                or base in modules
                or named in symbols
            ):
                continue
            yield self._reference(module, one, base, target, symbols)

    def _reference(
        self, module: Module, one: Import, base: str, target: Target, symbols: frozenset[str]
    ) -> Reference:
        if one.kind == "star":
            target = Target("module", base)
        meant = target.symbol if target.symbol in symbols else target.module
        return Reference(
            path=module.path,
            line=one.line,
            target=meant,
            module=base,
            name="*" if one.kind == "star" else one.name,
            as_name=one.as_name,
            kind=one.kind,
            place=one.place,
            guard=one.guard,
            type_checking=one.type_checking,
            relative=one.level > 0,
            via=target.via,
            area=module.area,
            read_by=module.facts.read_by,
        )

    # -- strings and docs --------------------------------------------------------------------

    def _texts(self, paths: Iterable[str]) -> Iterator[Reference]:
        wanted = self._wanted
        mentions = wanted.question().asked
        for path in paths:
            module = self._project.by_path[path]
            for text in self._readings.deep(path).texts:
                if text.kind == "doc":
                    yield from self._in_prose(
                        path, module.area, text.line, text.value, wanted, text.place
                    )
                    continue
                meant = wanted.of_string(text.value)
                if meant is not None and not self._is_call(module, text.line, text.value):
                    target, base, name, kind = meant
                    kind = "path" if kind == "path" else text.kind
                    yield self._text(path, text.line, target, base, name, kind, text.place, module)
        for entry in self._analysis.found.texts:
            data = self._analysis.read(entry.path)
            if mentions(data):
                area = "tooling"
                prose = data.decode(errors="replace")
                yield from self._in_prose(entry.path, area, 1, prose, wanted)

    def _where_looked_up(self) -> dict[str, tuple[Module, str, Target]]:
        """By dotted name: the modules that import a symbol, under which name, and what it is."""
        found: dict[str, tuple[Module, str, Target]] = {}
        homes = {symbol.partition(":")[0] for symbol in self._symbols}
        for module, one, _, target in self._project.imports_of(homes):
            if one.kind == "from" and one.place == "module" and target.symbol in self._symbols:
                name = one.as_name or one.name or ""
                found[f"{module.name}.{name}"] = (module, name, target)
        return found

    def _patches(self, paths: Iterable[str]) -> Iterator[Reference]:
        """Patched names of members in the modules that import them: there they are looked up."""
        for path in paths:
            module = self._project.by_path[path]
            for text in self._readings.deep(path).texts:
                parts = text.value.split(".")
                for count in range(len(parts), 1, -1) if text.kind == "patch" else ():
                    known = self._looked_up.get(".".join(parts[:count]))
                    if known is not None:
                        home, name, target = known
                        yield Reference(
                            path, text.line, target.symbol, home.name,
                            ".".join([name, *parts[count:]]), None, "patch", text.place, None,
                            False, False, (home.name, *target.via), module.area, "ast",
                        )  # fmt: skip
                        break

    @staticmethod
    def _is_call(module: Module, line: int, value: str) -> bool:
        return any(
            one.kind == "importlib" and one.line == line and one.module == value
            for one in module.facts.imports
        )

    def _in_prose(
        self, path: str, area: str, first: int, prose: str, wanted: _Wanted,
        place: str = "module",
    ) -> Iterator[Reference]:  # fmt: skip
        for number, line in enumerate(prose.splitlines(), first):
            for one in _NAME.finditer(line):
                meant = wanted.of_string(one.group().rstrip("."))
                if meant is not None:
                    target, base, name, _ = meant
                    yield Reference(
                        path, number, target, base, name, None, "doc", place, None, False,
                        False, (), area, "ast" if path.endswith(".py") else "lines",
                    )  # fmt: skip

    def _text(
        self, path: str, line: int, target: str, base: str, name: str | None, kind: str,
        place: str, module: Module,
    ) -> Reference:  # fmt: skip
        found = Target("module", base)
        if name is not None and self._project.exists(base):
            found = self._project.lookup(base, name.partition(".")[0])
            if found.kind == "symbol":
                target = found.symbol
        if target not in self._symbols:
            target = base
        return Reference(
            path, line, target, base, name, None, kind, place, None, False, False, found.via,
            module.area, "ast",
        )  # fmt: skip


class _Wanted:
    """Dotted names that mean a symbol or a module, or lie beneath it."""

    def __init__(
        self, symbols: Collection[str], modules: Collection[str], known: Mapping[str, Module]
    ) -> None:
        self._modules = {*modules, *(symbol.partition(":")[0] for symbol in symbols)}
        self._names: dict[str, set[str]] = {}
        for symbol in symbols:
            base, _, name = symbol.partition(":")
            self._names.setdefault(base, set()).add(name)
        self._paths = {known[name].path: name for name in self._modules if name in known}

    def question(self) -> Question:
        """Asks whether anything in a file can be meant."""
        # To look for the last names first is quicker: they are fewer.
        last = {name.rpartition(".")[2] for name in self._modules}
        return both(holds(last), holds({*self._modules, *self._paths}))

    def of_string(self, text: str) -> tuple[str, str, str | None, str] | None:
        """(target, module, name, kind) of a string's whole value."""
        if text in self._paths:
            return self._paths[text], self._paths[text], None, "path"
        head, colon, tail = text.partition(":")
        if colon:
            named = head in self._modules and all(p.isidentifier() for p in tail.split("."))
            return (f"{head}:{tail}", head, tail, "string") if named else None
        parts = text.split(".")
        for count in range(len(parts), 0, -1):
            base = ".".join(parts[:count])
            if base in self._modules:
                if count == len(parts):
                    return base, base, None, "string"
                name = ".".join(parts[count:])
                if not all(part.isidentifier() for part in parts[count:]):
                    return None
                first = parts[count]
                target = f"{base}:{first}"
                return target, base, name, "string"
        return None


def _order(one: Reference) -> tuple[object, ...]:
    return (one.path, one.line, one.target, one.kind, one.name or "", one.module)


def importers(references: Iterable[Reference]) -> set[str]:
    """Files that import: with a reference of kind `from`, `import` or `star`."""
    return {one.path for one in references if one.kind in IMPORTING}


def statements(references: Iterable[Reference]) -> set[tuple[str, int]]:
    """(path, line) of the statements that do."""
    return {(one.path, one.line) for one in references if one.kind in IMPORTING}
