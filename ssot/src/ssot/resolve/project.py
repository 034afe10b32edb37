"""The modules of a tree, and the resolver of names between them."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

from ssot.index.facts import LEVEL, MODULE, Binding, Class, Facts, Function, Import
from ssot.tree.areas import Areas
from ssot.tree.layout import Layout

_OF_EVERY_MODULE = frozenset(
    {"__name__", "__doc__", "__file__", "__path__", "__package__", "__spec__", "__loader__",
     "__dict__", "__annotations__", "__builtins__", "__all__", "__cached__"}
)  # fmt: skip
Kind = Literal["symbol", "module", "missing", "external", "uncertain", "circle"]


class Target(NamedTuple):
    """What a name means: `module` and, for a symbol, its dotted `name` there.

    `via`: the modules whose imports were followed, in order. `missing` names what nobody has.
    """

    kind: Kind
    module: str
    name: str = ""
    via: tuple[str, ...] = ()

    @property
    def symbol(self) -> str:
        """`module:Qualname`, or the module's name."""
        return f"{self.module}:{self.name}" if self.name else self.module


class Imported(NamedTuple):
    """An import with the full name of the module that it names, and what it means."""

    module: Module
    one: Import
    base: str
    target: Target


@dataclass
class Module:
    """A file, as Python would import it."""

    name: str
    path: str
    area: str
    facts: Facts
    is_package: bool
    key: str
    """The name, or NAME@PATH of one that another file's name hides."""
    liveness: str = "unknown"

    @cached_property
    def names(self) -> dict[str, list[tuple[Any, ...]]]:
        """The fields of the module-level bindings by name, in order."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        for raw in self.facts.raw_bindings:
            found.setdefault(raw[0], []).append(raw)
        return found

    def bindings(self, name: str) -> list[Binding]:
        """What binds a name at module level, in order."""
        return [*map(Binding._make, self.names.get(name, ()))]

    @cached_property
    def stars(self) -> list[Import]:
        return [one for one in self.facts.imports if one.kind == "star" and one.place == "module"]

    @cached_property
    def classes(self) -> dict[str, Class]:
        """By dotted name; of several the last."""
        return {one.name: one for one in self.facts.classes}

    @cached_property
    def functions(self) -> dict[str, Function]:
        return {one.name: one for one in self.facts.functions}

    @cached_property
    def folder(self) -> str:
        """The package that it stands in, or what would be one."""
        return self.name.rpartition(".")[0]

    @property
    def package(self) -> str:
        """Where its relative imports begin."""
        return self.name if self.is_package else self.folder

    def absolute(self, level: int, module: str) -> str:
        """The full name of a module in an import statement of this one; '' beyond the top."""
        if not level:
            return module
        if level == 1 and self.package:
            return f"{self.package}.{module}" if module else self.package
        parts = self.package.split(".") if self.package else []
        if level - 1 > len(parts) or (level - 1 == len(parts) and not module):
            return ""
        base = parts[: len(parts) - (level - 1)]
        return ".".join([*base, module] if module else base)


@dataclass
class Project:
    """All modules of a tree."""

    modules: dict[str, Module] = field(default_factory=dict[str, Module])
    """By key."""
    by_path: dict[str, Module] = field(default_factory=dict[str, Module])
    packages: set[str] = field(default_factory=set[str])
    """Names of folders that hold modules, with or without `__init__.py`."""
    opaque: set[str] = field(default_factory=set[str])
    """Modules that are there, but not in Python: nothing is known of their names."""
    tops: set[str] = field(default_factory=set[str])
    twins: dict[str, list[Module]] = field(default_factory=dict[str, list[Module]])
    """Modules that the first of their name hides."""
    areas: Callable[[str], str] = lambda _: "app"
    """The area of any path of the tree."""
    _memo: dict[tuple[str, str], Target] = field(default_factory=dict[tuple[str, str], Target])

    # -- modules -----------------------------------------------------------------------------

    def exists(self, name: str) -> bool:
        return name in self.modules or name in self.packages or name in self.opaque

    def ours(self, name: str) -> bool:
        """True if a module of that name could only be the project's."""
        return name.partition(".")[0] in self.tops

    def located(self, importer: Module, name: str) -> str:
        """The project's name of a module that a file imports: a script finds its neighbours first."""
        top = name.partition(".")[0]
        folder = self._beside(importer)
        if top in self.tops or not folder or not self.exists(f"{folder}.{top}"):
            return name
        return f"{folder}.{name}"

    def _beside(self, importer: Module) -> str:
        """The folder that is on the path because a file in it is run; '' for what is in a package."""
        folder = "" if importer.is_package else importer.folder
        return "" if folder in self.modules else folder

    def imported(self, importer: Module, one: Import) -> str:
        """The full name of the module that an import statement names."""
        if one.level:
            return importer.absolute(one.level, one.module)
        return self.located(importer, one.module)

    # -- names -------------------------------------------------------------------------------

    def target(self, importer: Module, one: Import) -> Target:
        """What an import statement's name means in the end."""
        return self._target(importer, one, self.imported(importer, one))

    def _target(self, importer: Module, one: Import, base: str) -> Target:
        if not base:
            return Target("missing", one.module or ".", one.name or "")
        if not self.ours(base):
            return Target("external", base, one.name or "")
        if one.kind in ("import", "importlib", "star"):
            return self._module(base)
        return self.lookup(base, one.name or "")

    def _module(self, name: str) -> Target:
        if self.exists(name):
            return Target("module", name)
        # `import a.b` of a name in `a` is no import of a module, whatever else that may be.
        parent = name
        while "." in parent:
            parent = parent.rpartition(".")[0]
            if parent in self.opaque:
                return Target("uncertain", name)
            module = self.modules.get(parent)
            if module is not None:
                return Target("uncertain" if module.facts.dynamic else "missing", name)
        return Target("missing", name)

    def lookup(
        self, module: str, name: str, seen: frozenset[tuple[str, str]] = frozenset()
    ) -> Target:
        """What `name` in `module` means in the end; imports and re-exports are followed."""
        key = (module, name)
        known = self._memo.get(key)
        if known is not None:
            return known
        if key in seen:
            return Target("circle", module, name)
        found = self._lookup(module, name, seen | {key})
        if not seen or found.kind != "circle":
            self._memo[key] = found
        return found

    def _lookup(self, base: str, name: str, seen: frozenset[tuple[str, str]]) -> Target:
        if base in self.opaque:
            return Target("uncertain", base, name)
        module = self.modules.get(base)
        if module is None:
            if base in self.packages:
                below = f"{base}.{name}"
                return (
                    Target("module", below) if self.exists(below) else Target("missing", base, name)
                )
            found = self._module(base)
            return Target(found.kind, base, name)
        bindings = module.bindings(name)
        if bindings and any(binding.kind != "declared" for binding in bindings):
            found = self.bound(module, best(bindings), seen)
            made = any(one.kind in ("class", "def", "call", "other") for one in bindings)
            if (
                found.kind == "circle" and made
            ):  # an import of itself, as in `if __name__ == "__main__"`
                return Target("symbol", base, name)
            return found
        below = f"{base}.{name}"
        if (module.is_package or base in self.packages) and self.exists(below):
            return Target("module", below)
        if name in _OF_EVERY_MODULE or bindings:
            return Target("symbol", base, name)
        through = self._through_stars(module, name, seen)
        if through is not None:
            return through
        twins = self.twins.get(base, ())  # which of them is meant is decided when the program runs
        unsure = module.facts.dynamic or any(name in twin.names for twin in twins)
        return Target("uncertain" if unsure else "missing", base, name)

    def bound(
        self, module: Module, binding: Binding, seen: frozenset[tuple[str, str]] = frozenset()
    ) -> Target:
        """What a module-level binding means."""
        if binding.kind == "import":
            one = module.facts.imports[int(binding.value)]
            return self._followed(module, one, binding.name, seen)
        if binding.kind == "assign" and binding.value:
            aliased = self.dotted(module, str(binding.value), seen)
            if aliased.kind == "symbol" and aliased != Target("symbol", module.name, binding.name):
                return _through(module, aliased)
        return Target("symbol", module.name, binding.name)

    def _followed(
        self, module: Module, one: Import, bound: str, seen: frozenset[tuple[str, str]]
    ) -> Target:
        base = self.imported(module, one)
        if not base:
            return Target("missing", one.module or ".", one.name or "")
        if not self.ours(base):
            return Target("external", base, one.name or "")
        if one.kind == "import":
            name = base if one.as_name else base.partition(".")[0]
            return self._module(name)._replace(via=(module.name,))
        below = f"{base}.{one.name}"
        if base == module.name and self.exists(below):
            return Target("module", below)  # a package that imports its own module
        found = self.lookup(base, one.name or "", seen)
        return _through(module, found)

    def _through_stars(
        self, module: Module, name: str, seen: frozenset[tuple[str, str]]
    ) -> Target | None:
        unsure = False
        for star in reversed(module.stars):
            base = self.imported(module, star)
            source = self.modules.get(base)
            if source is None:
                unsure = unsure or not self.ours(base) or base in self.opaque
                continue
            exported = source.facts.exported
            whole = exported is not None and "*" not in exported and not source.facts.dynamic
            if whole and name not in (exported or ()):
                continue
            if exported is None and name.startswith("_"):
                continue
            found = self.lookup(base, name, seen)
            if found.kind not in ("missing", "circle"):
                return _through(module, found)
        return Target("uncertain", module.name, name) if unsure else None

    def dotted(
        self, module: Module, text: str, seen: frozenset[tuple[str, str]] = frozenset()
    ) -> Target:
        """What a dotted name that is written in a module means there."""
        first, _, rest = text.partition(".")
        found = self.lookup(module.name, first, seen)
        parts = rest.split(".") if rest else []
        while parts:
            if found.kind == "module":
                via = found.via
                found = self.lookup(found.module, parts.pop(0), seen)
                found = found._replace(via=(*via, *found.via))
            elif found.kind == "symbol":
                name = ".".join([found.name, *parts])
                return found._replace(name=name)
            else:
                return found
        return found

    def class_of(self, target: Target) -> Class | None:
        """The class that a target is, if it is one."""
        module = self.modules.get(target.module)
        return None if module is None else module.classes.get(target.name)

    def bases(self, module: Module, one: Class) -> Iterator[Target]:
        """What the bases of a class mean."""
        for base in one.bases:
            found = self.dotted(module, base)
            if found.kind == "missing" and base in module.classes:
                found = Target("symbol", module.name, base)
            yield found

    @cached_property
    def imports(self) -> list[Imported]:
        """Every import of something of the project's with what it means, by path, in the order of the
        text. Of other packages there are many more, and nobody asks for them."""
        found: list[Imported] = []
        for path in sorted(self.by_path):
            module = self.by_path[path]
            beside = self._beside(module)
            for raw in module.facts.raw_imports:
                if not raw[LEVEL]:
                    top = raw[MODULE].partition(".")[0]
                    if top not in self.tops and not (beside and self.exists(f"{beside}.{top}")):
                        continue
                one = Import._make(raw)
                base = self.imported(module, one)
                found.append(Imported(module, one, base, self._target(module, one, base)))
        return found

    @cached_property
    def _by_module(self) -> dict[str, list[int]]:
        """Numbers of the imports that name a module, end in it, or pass through it."""
        found: dict[str, list[int]] = {}
        for number, one in enumerate(self.imports):
            for name in {one.base, one.target.module, *one.target.via}:
                found.setdefault(name, []).append(number)
        return found

    def imports_of(self, modules: Iterable[str]) -> list[Imported]:
        """Those of `imports` that name one of these modules, end in one, or pass through one."""
        index = self._by_module
        numbers = {number for name in modules for number in index.get(name, ())}
        return [self.imports[number] for number in sorted(numbers)]

    @cached_property
    def wanted_names(self) -> set[tuple[str, str]]:
        """(module, name) of everything that some file imports from another."""
        return {
            (base, one.name or "") for module, one, base, _ in self.imports
            if one.kind == "from" and base != module.name
        }  # fmt: skip

    @cached_property
    def _reads_first(self) -> dict[str, set[str]]:
        """Module -> modules that are read before it, because of imports at its top."""
        found: dict[str, set[str]] = {}
        for module, one, base, _ in self.imports:
            if one.place == "function" or one.type_checking or not base:
                continue
            names = {base, f"{base}.{one.name}"}
            parts = base.split(".")
            names.update(".".join(parts[:count]) for count in range(1, len(parts)))
            found.setdefault(module.name, set()).update(names & self.modules.keys())
        return found

    def circle(self, importer: Module, module: str) -> bool:
        """True if a module reads its importer when it is imported, and the importer did not read it."""
        return importer.name in self._before(module) and module not in self._before(importer.name)

    def _before(self, name: str) -> set[str]:
        found: set[str] = set()
        waiting = [name]
        while waiting:
            for one in self._reads_first.get(waiting.pop(), ()):
                if one not in found:
                    found.add(one)
                    waiting.append(one)
        return found

    @cached_property
    def missing(self) -> list[Imported]:
        """Those that name what the project does not have, or has only in a circle of re-exports."""
        return [one for one in self.imports if one.target.kind in ("missing", "circle")]


def _through(module: Module, found: Target) -> Target:
    """The same, reached by way of a module."""
    if found.via[:1] == (module.name,):
        return found
    return found._replace(via=(module.name, *found.via))


def best(bindings: list[Binding]) -> Binding:
    """The one that counts: the last, but for what is only bound where an import failed."""
    return next((one for one in reversed(bindings) if not one.fallback), bindings[-1])


def assemble(
    facts: Mapping[str, Facts], layout: Layout, areas: Areas, others: Iterable[str] = ()
) -> Project:
    """Make a project of files. `others`: compiled modules, of which only the names are known."""
    project = Project(areas=areas.area)
    for path in sorted(facts):
        name, _ = layout.module(path)
        key = name if name not in project.modules else f"{name}@{path}"
        is_package = posixpath.basename(path) == "__init__.py"
        module = Module(name, path, areas.area(path), facts[path], is_package, key)
        project.modules[key] = module
        project.by_path[path] = module
        if key == name:
            _add_packages(project, name)
        else:
            project.twins.setdefault(name, []).append(module)
    for path in others:
        name, _ = layout.module(path)
        project.opaque.add(name)
        _add_packages(project, name)
    return project


def _add_packages(project: Project, name: str) -> None:
    project.tops.add(name.partition(".")[0])
    package = name.rpartition(".")[0]
    while package and package not in project.packages:
        project.packages.add(package)
        package = package.rpartition(".")[0]
