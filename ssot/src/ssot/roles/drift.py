"""Drift: members of one role that have grown apart, and calls that only seem to work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ssot.index.facts import Class, Method
from ssot.resolve.project import Module, Target
from ssot.roles.candidates import Search
from ssot.roles.deep import Call, DeepFunction
from ssot.roles.members import Inventory
from ssot.roles.reading import Readings, Types


@dataclass(frozen=True, order=True)
class Site:
    """A method or a call: whose, where, and with which parameters or arguments."""

    symbol: str
    path: str
    line: int
    signature: str


@dataclass(frozen=True)
class Drift:
    """`rule`: `signature`, `missing_method` or `swallowed`."""

    rule: str
    method: str
    sites: tuple[Site, ...]


_PLAYING = ("canonical", "subclass", "adapter", "rival")


class Drifts:
    """Looks for drift among the members of a role."""

    def __init__(
        self, readings: Readings, search: Search, inventory: Inventory, paths: Iterable[str]
    ) -> None:
        self._readings = readings
        self._project = readings.project
        self._search = search
        self._inventory = inventory
        self._paths = list(paths)

    def find(self) -> list[Drift]:
        """All of it, by rule and method."""
        found = [*self._signatures(), *self._missing()]
        return sorted(found, key=lambda one: (one.rule, one.method, one.sites))

    # -- signatures ---------------------------------------------------------------------------

    def _signatures(self) -> Iterator[Drift]:
        players = [
            member for member in self._inventory.members.values()
            if member.relation in _PLAYING and member.kind == "class"
        ]  # fmt: skip
        for name in self._inventory.methods:
            sites: dict[Site, tuple[object, ...]] = {}
            for member in players:
                module = self._project.modules[member.module]
                one = module.classes[member.name]
                method = next((m for m in one.methods if m.name == name), None)
                if method is not None:
                    site = Site(f"{member.symbol}.{name}", module.path, method.line,
                                _shown(method))  # fmt: skip
                    sites[site] = _shape(method)
            if len(set(sites.values())) > 1:
                yield Drift("signature", name, tuple(sorted(sites)))

    # -- methods that are not there -------------------------------------------------------------

    def _missing(self) -> Iterator[Drift]:
        """Objects of known types on which members call what these types do not have."""
        passed = self._passed()
        for path in self._paths:
            module = self._project.by_path[path]
            types = self._readings.types(module)
            deep = self._readings.deep(path)
            given = {one.target for one in deep.assigns}  # `thing.method = ...` makes one
            for call in deep.calls:
                held, _, method = call.chain.rpartition(".")
                if hasattr(object, method) or call.chain in given:
                    continue
                if not held or held in ("self", "cls", "super()") or "[" in held:
                    continue
                of = types.of(held, call.function, call.inner)
                where: list[Site] = []
                kinds: list[Target] = [of] if of is not None else []
                if of is None and self._plays(module, call.inner):
                    kinds, where = self._through_parameters(
                        module, deep.by_name, call, held, passed
                    )
                for kind in kinds:
                    if self._lacks(kind, method) and self._concerns(module, call, kind):
                        yield from self._told(module, call, method, kind, where)
                        break

    def _told(
        self, module: Module, call: Call, method: str, kind: Target, where: list[Site]
    ) -> Iterator[Drift]:
        name = f"{module.key}:{call.function or call.inner}"
        site = Site(name.rstrip(":"), module.path, call.line, call.chain)
        lacking = [one for one in where if one.signature == kind.symbol]
        rule = "swallowed" if call.swallowed else "missing_method"
        yield Drift(rule, method, (site, *sorted(set(lacking))))

    def _plays(self, module: Module, inner: str) -> bool:
        member = self._inventory.members.get(f"{module.key}:{inner}")
        return member is not None and member.relation in (
            *_PLAYING,
            "core",
            "factory",
            "test_double",
        )

    def _concerns(self, module: Module, call: Call, kind: Target) -> bool:
        """The caller or the object plays the role."""
        member = self._inventory.members.get(kind.symbol)
        return self._plays(module, call.inner) or (
            member is not None and member.relation in (*_PLAYING, "core", "interface")
        )

    def _lacks(self, kind: Target, method: str) -> bool:
        """True if the class, all of whose bases are known, has neither such a method nor attribute."""
        one = self._project.class_of(kind)
        if one is None:
            return False
        module = self._project.modules[kind.module]
        for home, current in [
            (module, one),
            *((m, c) for _, m, c in self._search.ancestors(module, one)),
        ]:
            if not self._all_known(home, current) or "__getattr__" in {
                m.name for m in current.methods
            }:
                return False
            if method in current.attributes or any(m.name == method for m in current.methods):
                return False
            if current.decorators and any("dataclass" not in d for d in current.decorators):
                return False
        return True

    def _all_known(self, module: Module, one: Class) -> bool:
        targets = list(self._project.bases(module, one))
        plain = [t for b, t in zip(one.bases, targets, strict=False)
                 if b.rpartition(".")[2] not in ("object", "ABC", "Protocol", "Generic")]  # fmt: skip
        return all(self._project.class_of(target) is not None for target in plain)

    # -- through parameters -------------------------------------------------------------------

    def _passed(self) -> dict[tuple[str, str], list[tuple[Target, Site]]]:
        """(function or class symbol, parameter) -> types that are passed for it, and where."""
        found: dict[tuple[str, str], list[tuple[Target, Site]]] = {}
        for path in self._paths:
            module = self._project.by_path[path]
            types = self._readings.types(module)
            for call in self._readings.deep(path).calls:
                for symbol, parameters in self._callee(module, call, types):
                    for name, value in _matched(call, parameters):
                        of = types.of(value, call.function, call.inner)
                        if of is not None:
                            owner = f"{module.key}:{call.function}" if call.function else module.key
                            site = Site(owner, path, call.line, of.symbol)
                            found.setdefault((symbol, name), []).append((of, site))
        return found

    def _callee(self, module: Module, call: Call, types: Types) -> Iterator[tuple[str, list[str]]]:
        chain = call.chain
        if "[" in chain or chain.startswith(("'", '"', "?")):
            return
        held, _, method = chain.rpartition(".")
        target = self._readings.resolve(module, call.function, chain)
        if target.kind == "symbol" and "(" not in chain:
            home = self._project.modules.get(target.module)
            one = self._project.class_of(target)
            if home is None:
                return
            name = f"{target.name}.__init__" if one is not None else target.name
            made = self._function(home, name)
            if made is not None:
                yield f"{home.key}:{name}", [p.name for p in made.parameters]
                return
        if held:
            of = types.of(held, call.function, call.inner)
            if of is not None:
                home = self._project.modules[of.module]
                made = self._function(home, f"{of.name}.{method}")
                if made is not None:
                    yield f"{home.key}:{made.name}", [p.name for p in made.parameters]

    def _function(self, home: Module, name: str) -> DeepFunction | None:
        return self._readings.deep(home.path).by_name.get(name)

    def _through_parameters(
        self, module: Module, functions: Mapping[str, DeepFunction], call: Call, held: str,
        passed: dict[tuple[str, str], list[tuple[Target, Site]]],
    ) -> tuple[list[Target], list[Site]]:  # fmt: skip
        """Types that an attribute or parameter gets from whoever calls."""
        key: tuple[str, str] | None = None
        if held.startswith("self."):
            given = [
                one for one in self._readings.deep(module.path).assigns
                if one.inner == call.inner and one.target == held and one.value != "None"
            ]  # fmt: skip
            if len(given) == 1:
                made = functions.get(given[0].function)
                if made is not None and any(p.name == given[0].value for p in made.parameters):
                    key = (f"{module.key}:{made.name}", given[0].value)
        else:
            made = functions.get(call.function)
            if made is not None and any(p.name == held for p in made.parameters):
                key = (f"{module.key}:{made.name}", held)
        if key is None:
            return [], []
        given = passed.get(key, [])
        return [kind for kind, _ in given], [site for _, site in given]


def _matched(call: Call, parameters: list[str]) -> Iterator[tuple[str, str]]:
    if not any(name == "*" for name, _ in call.arguments):
        positional = [value for name, value in call.arguments if not name]
        yield from zip(parameters, positional, strict=False)
    yield from ((name, value) for name, value in call.arguments if name.strip("*"))


def _shown(method: Method) -> str:
    return f"{'async ' if 'a' in method.flags else ''}({method.signature})"


def _shape(method: Method) -> tuple[object, ...]:
    """What a caller must know: required parameters in their order, and whether it is awaited."""
    names = [name.strip() for name in method.signature.split(",")] if method.signature else []
    required = tuple(
        name for name in names if name and "=" not in name and not name.startswith("*")
    )
    return (required, "a" in method.flags)
