"""What plays a role in a tree, and how each relates to the canonical."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from ssot.config import Role
from ssot.index.facts import Class
from ssot.resolve.project import Binding, Module, Target
from ssot.roles.candidates import Candidate, Search, canonical_of, methods_of, patterns_of
from ssot.roles.deep import DeepFunction
from ssot.roles.reading import Readings


@dataclass(frozen=True)
class Evidence:
    """Why: where it can be seen, and how much it says (0 to 1)."""

    why: str
    path: str
    line: int
    score: float = 1.0


@dataclass
class Member:
    """A symbol of a role."""

    symbol: str
    path: str
    line: int
    kind: str
    relation: str
    area: str
    liveness: str
    targets: list[str] = field(default_factory=list[str])
    lying: bool = False
    evidence: list[Evidence] = field(default_factory=list[Evidence])

    @property
    def module(self) -> str:
        return self.symbol.partition(":")[0]

    @property
    def name(self) -> str:
        return self.symbol.partition(":")[2]


@dataclass(frozen=True)
class Decoy:
    """A class that was looked at and rejected."""

    symbol: str
    path: str
    line: int
    why: str


class Inventory:
    """The members of one role."""

    def __init__(self, readings: Readings, search: Search, role: Role, others: list[Role]) -> None:
        """Raises `ConfigError` if the canonical is not there."""
        self.role = role
        self._readings = readings
        self._project = readings.project
        self._search = search
        self.canonical, self._class = canonical_of(self._project, role)
        self.methods = methods_of(role, self._class)
        self.patterns = patterns_of(role)
        self._others = [
            (other, methods_of(other, canonical_of(self._project, other)[1])) for other in others
        ]
        self.members: dict[str, Member] = {}
        self.decoys: list[Decoy] = []
        self._candidates = {
            one.symbol: one for one in search.candidates(role, (self.canonical, self._class))
        }
        self._fill()

    def classes(self) -> dict[str, Member]:
        """Members that are classes or functions of their own, by symbol."""
        return {s: m for s, m in self.members.items() if m.kind in ("class", "function")}

    # -- one after the other, in the order of `RELATIONS` -------------------------------------

    def _fill(self) -> None:
        home = self._project.modules[self.canonical.module]
        self._add(home, self.canonical.name, self._class.line, "class", "canonical",
                  [Evidence("named in ssot.toml", home.path, self._class.line)])  # fmt: skip
        undecided = self._certain()
        self._makers(undecided)
        self._rest(undecided)
        self._ghosts()
        self._bound()
        for symbol in [s for s in self._candidates if s not in self.members]:
            one = self._candidates[symbol]
            if not self._collected(one):
                why = f"only its name is like it: it has {len(one.shared)} of {len(self.methods)} methods"
                self.decoys.append(Decoy(symbol, one.module.path, one.one.line, why))
        self.decoys.sort(key=lambda decoy: decoy.symbol)

    def _add(
        self, module: Module, name: str, line: int, kind: str, relation: str,
        evidence: list[Evidence], targets: list[str] | None = None,
    ) -> Member:  # fmt: skip
        symbol = f"{module.key}:{name}"
        member = Member(
            symbol, module.path, line, kind, relation, module.area, module.liveness,
            targets or [], False, evidence,
        )  # fmt: skip
        self.members[symbol] = member
        return member

    def _of_candidate(
        self, one: Candidate, relation: str, *more: Evidence, targets: list[str] | None = None
    ) -> None:
        evidence = list(more)
        path, line = one.module.path, one.one.line
        if one.named:
            evidence.append(
                Evidence(f"its name matches {', '.join(self.patterns)}", path, line, 0.3)
            )
        if one.shared:
            evidence.append(
                Evidence(f"has {', '.join(one.shared)}", path, line, round(one.likeness, 2))
            )
        self._add(one.module, one.one.name, line, "class", relation, evidence, targets)

    @staticmethod
    def _collected(one: Candidate) -> bool:
        """A class of tests, which pytest collects."""
        return (
            one.module.area == "test"
            and one.one.name.rpartition(".")[2].startswith("Test")
            and any(method.name.startswith("test") for method in one.one.methods)
        )

    def _certain(self) -> list[Candidate]:
        """Test doubles, interfaces, subclasses; gives the candidates that are none of them."""
        undecided: list[Candidate] = []
        interfaces = {s for s, c in self._candidates.items() if self._is_interface(c)}
        real = {self.canonical.symbol, *(s for s, c in self._candidates.items() if c.structural)}
        for symbol, one in self._candidates.items():
            above = {base.symbol for base in one.inherits}
            path, line = one.module.path, one.one.line
            if one.module.area == "test":
                if not self._collected(one) and (one.structural or above & real):
                    self._of_candidate(
                        one, "test_double", Evidence("a class among tests", path, line)
                    )
            elif symbol in interfaces:
                self._of_candidate(
                    one, "interface", Evidence("nothing is executed in its methods", path, line)
                )
            elif self.canonical.symbol in above:
                self._of_candidate(
                    one, "subclass", Evidence(f"inherits from {self.canonical.symbol}", path, line),
                    targets=[self.canonical.symbol],
                )  # fmt: skip
            else:
                undecided.append(one)
        return undecided

    def _is_interface(self, one: Candidate) -> bool:
        methods = one.one.methods
        abstract = any("b" in method.flags for method in methods) or any(
            base.rpartition(".")[2] in ("ABC", "Protocol", "ABCMeta") for base in one.one.bases
        )
        return (
            one.structural and abstract and bool(methods) and all("t" in m.flags for m in methods)
        )

    def _real(self, undecided: list[Candidate]) -> set[str]:
        """Symbols that play the role themselves, as far as is known before adapters and factories."""
        certain = {s for s, m in self.members.items() if m.kind == "class"}
        return certain | {one.symbol for one in undecided if one.structural}

    # -- adapters and factories ---------------------------------------------------------------

    def _makers(self, undecided: list[Candidate]) -> None:
        real = self._real(undecided)
        paths = self._concerned(real)
        self._readings.prepare(paths)
        for path in paths:
            module = self._project.by_path[path]
            if module.area == "test":
                continue
            deep = self._readings.deep(path)
            by_owner: dict[str, list[DeepFunction]] = {}
            for made in deep.functions:
                by_owner.setdefault(made.owner, []).append(made)
            for one in module.classes.values():
                symbol = f"{module.key}:{one.name}"
                if symbol in self.members:
                    continue
                public = [
                    made for made in by_owner.get(one.name, ())
                    if not made.name.rpartition(".")[2].startswith("_")
                    and not {"p", "t"} & set(made.flags)
                ]  # fmt: skip
                if not self._adapter(module, one, public, real):
                    self._factory_class(module, one, public, real - {symbol})
            for made in by_owner.get("", ()):
                if "." not in made.name and f"{module.key}:{made.name}" not in self.members:
                    found = self._returns(module, made, real)
                    if found:
                        where = Evidence("returns it", path, made.line)
                        self._add(
                            module, made.name, made.line, "function", "factory", [where], found
                        )

    def _concerned(self, symbols: set[str]) -> list[str]:
        """Files that define or import one of these, or name their modules."""
        modules = {symbol.partition(":")[0] for symbol in symbols}
        paths = {self._project.modules[module].path for module in modules}
        paths.update(found.module.path for found in self._project.imports_of(modules))
        return sorted(paths)

    def _adapter(
        self, module: Module, one: Class, public: list[DeepFunction], real: set[str]
    ) -> bool:
        types = self._readings.types(module)
        held: list[str] = []
        for made in public:
            parts = made.forwards.split(".")
            if len(parts) != 3 or parts[0] != "self":
                continue
            of = types.of(f"self.{parts[1]}", made.name, one.name)
            if of is not None and of.symbol in real and of.symbol != f"{module.key}:{one.name}":
                held.append(of.symbol)
        if not held or 2 * len(held) <= len(public):
            return False
        where = Evidence(
            f"{len(held)} of {len(public)} methods only forward", module.path, one.line
        )
        self._add(module, one.name, one.line, "class", "adapter", [where], sorted(set(held)))
        return True

    def _factory_class(
        self, module: Module, one: Class, public: list[DeepFunction], real: set[str]
    ) -> None:
        found = sorted({symbol for made in public for symbol in self._returns(module, made, real)})
        if not found:
            return
        line = next(made.line for made in public if self._returns(module, made, real))
        where = Evidence("a method of it returns one", module.path, line)
        self._add(module, one.name, one.line, "class", "factory", [where], found)

    def _returns(self, module: Module, made: DeepFunction, real: set[str]) -> list[str]:
        """Members of which a function returns an instance."""
        types = self._readings.types(module)
        found: set[str] = set()
        given = {one.name for one in made.parameters}
        for text in made.returned:
            if text in given:
                continue
            of = types.of(text, made.name, made.owner)
            if of is not None and of.symbol in real:
                found.add(of.symbol)
        if not found and made.annotation:
            target = self._readings.resolve(module, made.name, made.annotation)
            if target.kind == "symbol" and target.symbol in real:
                found.add(target.symbol)
        return sorted(found)

    # -- other roles, cores, rivals -----------------------------------------------------------

    def _rest(self, undecided: list[Candidate]) -> None:
        left = [one for one in undecided if one.symbol not in self.members]
        cores = self._cores(left)
        for one in left:
            better = self._closer(one)
            if better is not None:
                why = Evidence(f"closer to {better.canonical}", one.module.path, one.one.line)
                self._of_candidate(one, "other_role", why, targets=[better.canonical])
            elif one.symbol in cores:
                users = cores[one.symbol]
                self._of_candidate(
                    one, "core",
                    *(Evidence(f"called by {user}", path, line) for user, path, line in users),
                )  # fmt: skip
            elif one.structural:
                self._of_candidate(one, "rival")

    def _closer(self, one: Candidate) -> Role | None:
        has = set(self._search.methods(one.module, one.one))
        best, most = None, len(one.shared)
        for role, wanted in self._others:
            count = len(has.intersection(wanted))
            if count > most:
                best, most = role, count
        return best

    def _cores(self, left: list[Candidate]) -> dict[str, list[tuple[str, str, int]]]:
        """Candidates of which at least two members call methods: (member, path, line) of each."""
        wanted = {one.symbol: one for one in left}
        found: dict[str, dict[str, tuple[str, str, int]]] = {}
        players = {s for s, m in self.members.items()
                   if m.kind == "class" and m.relation in ("canonical", "subclass", "adapter")}  # fmt: skip
        players |= {one.symbol for one in left if one.structural}
        for symbol in players:
            name, _, qualname = symbol.partition(":")
            module = self._project.modules[name]
            types = self._readings.types(module)
            for call in self._readings.deep(module.path).calls:
                if call.inner != qualname or "." not in call.chain:
                    continue
                of = types.of(call.chain.rpartition(".")[0], call.function, call.inner)
                if of is not None and of.symbol in wanted and of.symbol != symbol:
                    found.setdefault(of.symbol, {}).setdefault(
                        symbol, (symbol, module.path, call.line)
                    )
        return {s: list(users.values()) for s, users in found.items() if len(users) > 1}

    # -- ghosts, aliases, re-exports -----------------------------------------------------------

    def _ghosts(self) -> None:
        names = {member.name for member in self.members.values()}
        for module, one, _, target in self._project.missing:
            if not target.name or target.symbol in self.members:
                continue
            if one.name in names or any(fnmatchcase(target.name, p) for p in self.patterns):
                exists = self._project.exists(target.module)
                why = "has no such name" if exists else "is not there"
                self.members[target.symbol] = Member(
                    target.symbol, module.path, one.line, "missing", "ghost", module.area,
                    module.liveness, [], False, [Evidence(f"{target.module} {why}", module.path, one.line)],
                )  # fmt: skip

    def _bound(self) -> None:
        """Module-level names that are bound to members elsewhere."""
        own = self.classes()
        wanted = self._project.wanted_names
        homes = {member.module for member in own.values()}
        paths = {self._project.modules[home].path for home in homes}
        paths.update(found.module.path for found in self._project.imports_of(homes))
        for module in (self._project.by_path[path] for path in sorted(paths)):
            self._by_star(module, own, wanted)
            for name in module.names:
                bindings = module.bindings(name)
                for binding, target in self._meanings(module, bindings):
                    if target.symbol not in own or target.symbol == f"{module.key}:{name}":
                        continue
                    asked = (module.name, name) in wanted
                    kind = "import" if binding.kind == "import" else "assignment"
                    same = self._said(module, binding) == name
                    if not same and (module.area == "app" or asked):
                        relation = "alias"
                    elif same and (asked or name in (module.facts.exported or ())):
                        relation = "re_export"
                    else:
                        continue
                    known = self.members.get(f"{module.key}:{name}")
                    if known is not None and binding.fallback and known.relation in (
                        "alias", "re_export",
                    ):  # fmt: skip
                        continue  # what it is bound to where an import fails is not what it means
                    why = Evidence(f"bound to {target.symbol}", module.path, binding.line)
                    member = self._add(
                        module, name, binding.line, kind, relation, [why], [target.symbol]
                    )
                    others = self._search.symbols(name) - {target.symbol}
                    member.lying = relation == "alias" and bool(others) and not binding.fallback
                self._twice(module, name, bindings)

    def _by_star(
        self, module: Module, own: dict[str, Member], wanted: set[tuple[str, str]]
    ) -> None:
        """Names that a module has by a star, and offers."""
        if not module.stars:
            return
        names = {*(module.facts.exported or ())} - {"*"}
        names |= {member.name for member in own.values() if (module.name, member.name) in wanted}
        for name in sorted(names - module.names.keys()):
            target = self._project.lookup(module.name, name)
            if target.symbol in own and target.module != module.name:
                line = module.stars[-1].line
                self._add(
                    module, name, line, "import", "re_export",
                    [Evidence(f"has {target.symbol} by a star", module.path, line)], [target.symbol],
                )  # fmt: skip

    def _twice(self, module: Module, name: str, bindings: list[Binding]) -> None:
        own = self.classes()
        firm = [b for b in bindings if not b.fallback]
        if len(firm) < 2:
            return
        meant = {t.symbol for _, t in self._meanings(module, firm) if t.symbol in own}
        member = self.members.get(f"{module.key}:{name}")
        if len(meant) > 1 and member is not None and member.relation in ("alias", "re_export"):
            member.lying = True
            member.targets = sorted(meant)

    @staticmethod
    def _said(module: Module, binding: Binding) -> str:
        """The name that a statement takes from elsewhere, before it gives it one."""
        if binding.kind == "import":
            one = module.facts.imports[int(binding.value)]
            return one.name or one.module
        return str(binding.value).rpartition(".")[2]

    def _meanings(
        self, module: Module, bindings: list[Binding]
    ) -> Iterator[tuple[Binding, Target]]:
        for binding in bindings:
            if binding.kind in ("import", "assign") and binding.value != "":
                found = self._project.bound(module, binding)
                if found.kind == "symbol":
                    yield binding, found
