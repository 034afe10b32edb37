"""Who uses a member, in ways that a plan must know: by imports, through packages, by text, from outside."""

from __future__ import annotations

import ast
import posixpath
import re
from collections import defaultdict
from functools import cached_property

from ssot.change.fit import Difference
from ssot.index.extract import parse
from ssot.resolve.project import Module
from ssot.roles.audit import Audit, RoleAudit
from ssot.roles.members import Member
from ssot.roles.references import IMPORTING, Reference
from ssot.tree.files import encoded

_MOST_BYTES = 1024 * 1024
_OWN_FILES = frozenset({"ssot.toml", "ssot-baseline.json"})
_PLAIN_DECORATORS = frozenset(
    {"dataclass", "final", "runtime_checkable", "total_ordering", "contextmanager", "asynccontextmanager",
     "cache", "lru_cache", "wraps", "overload", "deprecated", "attrs", "define", "frozen", "s"}
)  # fmt: skip
"""What these decorate is registered nowhere."""


class Users:
    """Looks for whoever uses a role's members."""

    def __init__(self, audit: Audit, role: RoleAudit) -> None:
        self._audit = audit
        self._role = role
        self._analysis = audit.analysis
        self._project = audit.analysis.project
        self._second_names = [m for m in role.members if m.relation in ("alias", "re_export")]
        self.importing: dict[str, list[Reference]] = defaultdict(list)
        """By the symbol that the statement names, and by what it means in the end."""
        for one in role.references:
            if one.kind in IMPORTING:
                self.importing[f"{one.module}:{one.name}"].append(one)
        self.wanted: dict[str, set[str]] = defaultdict(set)
        """Module -> names that other files import from it."""
        self.opened: dict[str, set[str]] = defaultdict(set)
        """Module -> files that import the whole of it."""
        self._opened_above: dict[str, set[str]] = defaultdict(set)
        """Package -> files that import a module beneath it by its full name."""
        self._importers: dict[str, frozenset[str]] = {}
        for module, one, base, _ in self._project.imports:
            if base == module.name:
                continue
            if one.kind == "from" and self._project.exists(f"{base}.{one.name}"):
                self.opened[f"{base}.{one.name}"].add(module.path)
            if one.kind == "from":
                self.wanted[base].add(one.name or "")
            else:
                self.opened[base].add(module.path)
                above = base.rpartition(".")[0] if one.kind == "import" and not one.as_name else ""
                while above:  # `import a.b` binds a, too
                    self._opened_above[above].add(module.path)
                    above = above.rpartition(".")[0]

    def importers(self, symbol: str) -> frozenset[str]:
        """Files that import a symbol, or its module and use it."""
        found = self._importers.get(symbol)
        if found is None:
            found = self._importers[symbol] = frozenset(self._find_importers(symbol))
        return found

    def _find_importers(self, symbol: str) -> set[str]:
        module, _, name = symbol.partition(":")
        found = {one.path for one in self.importing[symbol]}
        found |= self._taken_from_above(module, name)
        by_names = {
            one.path for other in self._second_names if symbol in other.targets
            for one in self.importing[other.symbol]
        }  # fmt: skip
        made = {one.path for one in self._role.constructions if one.target == symbol}
        found |= made - by_names  # who has it by a second name follows when that name goes
        last = re.escape(f"{module.rpartition('.')[2]}.{name}")
        by_package = re.compile(encoded(rf"\b{last}\b"))
        above = module.rpartition(".")[0]
        while above:  # `import package` and `package.module.Name`
            found |= {path for path in self.opened[above]
                      if by_package.search(self._analysis.read(path)) is not None}  # fmt: skip
            above = above.rpartition(".")[0]
        for path in self.opened[module]:
            data = self._analysis.read(path)
            if encoded(name) in data:
                found.add(path)
        own = self._project.modules.get(module)
        return found - ({own.path} if own else set())

    def told_outside(self, member: Member) -> list[Difference]:
        """Files that are neither code nor documents, and name a member or run its module."""
        module, name = re.escape(member.module), re.escape(member.name)
        pattern = re.compile(encoded(rf"(?<![\w.]){module}(?:[:.]{name}(?!\w)|(?![\w.:]))"))
        found: list[Difference] = []
        for path, data in self._outside.items():
            for one in pattern.finditer(data):
                line = data.count(b"\n", 0, one.start()) + 1
                found.append(Difference(path, line, f"it names {one.group().decode()}"))
        return found

    @cached_property
    def _outside(self) -> dict[str, bytes]:
        """What is in the tree's other texts: configuration, scripts, the setup of a distribution."""
        found: dict[str, bytes] = {}
        for path in self._analysis.found.names:
            name = posixpath.basename(path)
            if name in _OWN_FILES or self._project.areas(path) == "backup":
                continue
            if name != "setup.py" and path.endswith((".py", ".md", ".rst")):
                continue
            try:
                place = self._analysis.root / path
                data = place.read_bytes() if place.stat().st_size < _MOST_BYTES else b""
            except OSError:
                continue
            if data and b"\0" not in data:
                found[path] = data
        return found

    def offered(self, member: Member) -> str | None:
        """Why somebody may use what no file imports."""
        module = self._project.modules[member.module]
        if member.symbol in self._role.role.constructors:
            return "it is a constructor of the role"
        if member.name in (module.facts.exported or ()):
            return f"{module.name} offers it in __all__"
        one = module.classes.get(member.name)
        if one is not None:
            strange = [d for d in one.decorators if d.rpartition(".")[2] not in _PLAIN_DECORATORS]
            if strange:
                return f"{strange[0]} decorates it, and may register it"
            for _, _, base in self._audit.search.ancestors(module, one):
                if "__init_subclass__" in base.method_names:
                    return f"{base.name} hears of its subclasses"
        made = self._audit.readings.deep(member.path).by_name.get(member.name)
        if made is not None and made.decorators:
            return f"{made.decorators[0]} decorates it, and may register it"
        return None

    def reached(self, module: Module, name: str) -> bool:
        """Another file takes a name out of a module when it runs: as an attribute, by a star, by text."""
        if self._taken_from_above(module.name, name):
            return True
        for path in self.opened[module.name]:
            other = self._project.by_path[path]
            if other.area == "backup" or path == module.path:
                continue
            by_star = any(self._project.imported(other, one) == module.name for one in other.stars)
            if self.mentioned(path, name, plainly=by_star):
                return True
        return False

    def _taken_from_above(self, package: str, name: str) -> set[str]:
        """Files that say `package.name` because an import of a module beneath it binds the package."""
        dotted = re.compile(encoded(rf"(?<![\w.]){re.escape(package)}\.{re.escape(name)}(?!\w)"))
        return {
            path for path in self._opened_above[package]
            if dotted.search(self._analysis.read(path)) is not None
        }  # fmt: skip

    def mentioned(self, path: str, name: str, *, plainly: bool = True) -> int:
        """The first line in which a file's code names something as an attribute or in a string
        (`plainly`: or by itself); 0 if none does."""
        data = self._analysis.read(path)
        if encoded(name) not in data or self._project.by_path[path].facts.error is not None:
            return 0
        for node in ast.walk(parse(data)):
            match node:
                case ast.Attribute(attr=found) | ast.Constant(value=str(found)) if found == name:
                    return node.lineno
                case ast.Name(id=found) | ast.alias(name=found) if plainly and found == name:
                    return node.lineno
        return 0
