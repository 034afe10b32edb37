"""The plan: steps that lead from many members to the canonical, none of which breaks an importer.

Order: what is dead; re-exports and aliases; strings and texts; live importers; factories; rivals.
Interfaces and shared cores are kept. A rival is moved only if all of its callers' uses fit the
canonical; else a person has to.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ssot.change.edits import Edit, shown
from ssot.change.fit import Difference, Fit
from ssot.change.moving import Mover, uses_outside
from ssot.change.removing import remove_name
from ssot.change.texts import rewrite_texts
from ssot.change.users import Users
from ssot.errors import Refused
from ssot.index.extract import parse
from ssot.resolve.project import Module, Target
from ssot.roles.audit import Audit, RoleAudit
from ssot.roles.members import Member
from ssot.tree.files import encoded
from ssot.trust import TestFile, test_files

PHASES = ("dead", "names", "strings", "importers", "factories", "rivals", "manual")
_LOOKS_UP = re.compile(rb"\b(?:eval|exec|globals|locals|vars)\(")
"""By these a string of a file may be a name in it."""
_KEPT = {
    "interface": "others may implement or expect it",
    "core": "several members call it",
    "subclass": "it is the canonical, with more",
    "adapter": "it forwards to a member",
    "factory": "it makes a member; what it makes is the canonical in the end",
    "other_role": "it plays another role",
    "test_double": "tests use it in place of the canonical",
}


@dataclass
class Step:
    """One change that leaves everything working."""

    id: str
    phase: str
    kind: str
    target: str
    edits: list[Edit] = field(default_factory=list[Edit])
    needs: list[str] = field(default_factory=list[str])
    tests: list[str] = field(default_factory=list[str])
    risk: str = "low"
    why: str = ""
    differences: list[Difference] = field(default_factory=list[Difference])
    """Of a manual step: what does not fit, and where."""

    def as_json(self, read: Any) -> dict[str, Any]:
        """The contract's shape."""
        by_path: dict[str, list[Edit]] = defaultdict(list)
        for edit in self.edits:
            by_path[edit.path].append(edit)
        return {
            "id": self.id, "phase": self.phase, "kind": self.kind, "target": self.target,
            "edits": [one for path in sorted(by_path) for one in shown(read(path), by_path[path])],
            "needs": self.needs, "tests": self.tests, "risk": self.risk, "why": self.why,
            "differences": [vars(one) for one in self.differences],
        }  # fmt: skip


@dataclass
class Plan:
    """Steps in their order, and what stays."""

    role: str
    steps: list[Step] = field(default_factory=list[Step])
    kept: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def as_json(self, read: Any) -> dict[str, Any]:
        """The contract's object."""
        return {
            "role": self.role,
            "steps": [step.as_json(read) for step in self.steps],
            "kept": [{"symbol": symbol, "why": why} for symbol, why in self.kept],
        }


def plan(audit: Audit, role: RoleAudit) -> Plan:
    """Plan a role's consolidation."""
    return _Planner(audit, role).plan()


class _Planner:
    def __init__(self, audit: Audit, role: RoleAudit) -> None:
        self._audit = audit
        self._role = role
        self._analysis = audit.analysis
        self._project = audit.analysis.project
        self._canonical = role.inventory.canonical
        self._members = role.inventory.members
        self._tests = test_files(audit)
        self._users_of = Users(audit, role)
        self._result = Plan(role.role.name)
        self._going: set[str] = set()

    def plan(self) -> Plan:
        rivals = [m for m in self._of("rival") if m.area in ("app", "tooling")]
        rivals = [m for m in rivals if not self._called_by_canonical(m)]
        self._dead([*rivals, *self._of("factory"), *self._of("adapter")])
        self._names()
        living = [m for m in rivals if m.symbol not in self._going]
        movable, stuck = self._sorted(living)
        self._strings(movable)
        for member in movable:
            self._importers(member)
        self._ghosts()
        self._factories()
        self._rivals(movable)
        for member, differences in stuck:
            self._manual(member, differences)
        self._keep()
        order = {phase: number for number, phase in enumerate(PHASES)}
        self._result.steps.sort(key=lambda step: order[step.phase])
        return self._result

    # -- members ------------------------------------------------------------------------------

    def _of(self, *relations: str) -> list[Member]:
        return [m for m in self._role.members if m.relation in relations]

    def _called_by_canonical(self, member: Member) -> bool:
        """The canonical itself is made with it: it cannot take its place."""
        home = self._project.modules[self._canonical.module].path
        if member.path == home or home not in self._users_of.importers(member.symbol):
            return False
        self._result.kept.append((member.symbol, "the canonical uses it"))
        return True

    def _module(self, member: Member) -> Module:
        return self._project.modules[member.module]

    def _used_inside(self, member: Member) -> bool:
        """Something else in its own file uses it."""
        return uses_outside(self._analysis.read(member.path), member.name)

    # -- phases -------------------------------------------------------------------------------

    def _dead(self, members: list[Member]) -> None:
        """What nobody imports, and what only that imports."""
        again = True
        while again:
            again = False
            for member in members:
                if member.symbol in self._going or member.area not in ("app", "tooling"):
                    continue
                users = self._users_of.importers(member.symbol) - self._gone_files()
                bound = [m for m in self._of("alias", "re_export") if member.symbol in m.targets]
                if users or bound or (member.liveness == "live" and self._used_inside(member)):
                    continue
                if self._used_inside(member) or self._runs_by_itself(member) or self._named(member):
                    continue
                if self._users_of.told_outside(member) or self._users_of.offered(member):
                    continue
                needs = self._text_steps(member, "dead")
                if self._delete(member, "dead", "low", "nobody imports it", needs):
                    again = True

    def _named(self, member: Member) -> list[Difference]:
        """Strings of the program that name it, if the canonical cannot stand in for all of it.

        Something looks it up when it runs, and nothing tells how it is used.
        """
        strings = [
            one for one in self._role.references
            if one.kind in ("string", "importlib") and one.area in ("app", "tooling")
            and one.path != member.path
            and (one.target == member.symbol or (one.module == member.module and one.name is None))
        ]  # fmt: skip
        if not strings:
            return []
        old = Target("symbol", member.module, member.name)
        fit = Fit(self._audit.readings, self._audit.search, old, self._canonical)
        lacks = fit.whole() if member.kind == "class" else ["it is no class"]
        return [
            Difference(one.path, one.line, f"{member.name} is looked up by a string; {why}")
            for one in strings for why in lacks
        ]  # fmt: skip

    def _runs_by_itself(self, member: Member) -> bool:
        """Its module is where a program begins."""
        return member.module in self._analysis.roots

    def _gone_files(self) -> set[str]:
        return {edit.path for step in self._result.steps for edit in step.edits if edit.delete}

    def _names(self) -> None:
        """Importers of re-exports and aliases take the name from where it is defined."""
        waiting = [m for m in self._of("re_export", "alias")
                   if m.area == "app" and len(m.targets) == 1]  # fmt: skip
        while waiting:
            free = [m for m in waiting if not self._alias_is_used(m)]
            if not free:
                break
            for member in free:
                waiting.remove(member)
                self._name(member)
        for member in waiting:
            self._name_importers(member)
            self._result.kept.append((member.symbol, "its own module uses the name"))

    def _name_importers(self, member: Member) -> list[str]:
        target = member.targets[0]
        steps = [
            step for path in sorted(self._users_of.importers(member.symbol))
            if (step := self._rewrite(member.symbol, target, path, "names",
                                      f"{member.relation} of {target}")) is not None
        ]  # fmt: skip
        return [step.id for step in steps]

    def _name(self, member: Member) -> None:
        needs = self._name_importers(member)
        needs += [
            f"delete {member.module}:{binding.name}"
            for binding in self._module(member).facts.bindings
            if binding.kind == "assign" and str(binding.value).partition(".")[0] == member.name
        ]
        public = self._module(member).is_package and member.name in (
            self._module(member).facts.exported or ()
        )
        needs += self._text_steps(member, "names")
        why = f"a second name of {member.targets[0]}"
        if public:
            why += f"; who takes it from {member.module} and is not in this tree must follow"
        self._delete(member, "names", "medium" if public else "low", why, needs)

    def _alias_is_used(self, member: Member) -> bool:
        """Its own module uses the name otherwise than for another name that goes, too."""
        data = self._analysis.read(member.path)
        module = self._module(member)
        passing = {
            binding.line for binding in module.facts.bindings
            if binding.kind == "assign" and str(binding.value).partition(".")[0] == member.name
            and f"{member.module}:{binding.name}" in self._going
        }  # fmt: skip
        if _LOOKS_UP.search(data) and self._users_of.mentioned(
            member.path, member.name, plainly=False
        ):
            return True
        return any(
            isinstance(node, ast.Name) and node.id == member.name
            and isinstance(node.ctx, ast.Load) and node.lineno not in passing
            for node in ast.walk(parse(data))
        )  # fmt: skip

    def _strings(self, movable: list[Member]) -> None:
        for member in movable:
            self._text_steps(member, "strings")

    def _text_steps(self, member: Member, phase: str) -> list[str]:
        """Strings, paths and texts that name a member that goes name the canonical.

        What is patched where it is defined must follow its callers, in the same step.
        """
        kinds = ("string", "path", "doc", "importlib", *(("patch",) if phase == "dead" else ()))
        paths = sorted({
            one.path for one in self._role.references
            if one.kind in kinds and one.area != "backup"
            and one.path != member.path
            and (one.target == member.symbol or (one.module == member.module
                 and (one.name or member.name).partition(".")[0] == member.name))
        })  # fmt: skip
        shown = encoded(f"from {member.module} import {member.name}")
        texts = [one.path for one in self._analysis.found.texts]
        paths = sorted({*paths, *(p for p in texts if shown in self._analysis.read(p))})
        old = Target("symbol", member.module, member.name)
        ids: list[str] = []
        for path in paths:
            edits = rewrite_texts(
                self._project, path, self._analysis.read(path), old, self._canonical,
                self._goes_whole(member),
            )  # fmt: skip
            if edits:
                step = Step(
                    f"rewrite_strings {member.symbol} in {path}", phase, "rewrite_strings",
                    member.symbol, edits, [], self._tests_of(member.symbol, {path}), "low",
                    "what is looked up by name follows the name",
                )  # fmt: skip
                self._result.steps.append(step)
                ids.append(step.id)
        return ids

    def _goes_whole(self, member: Member) -> bool:
        try:
            edits = self._removal(member)
        except Refused:
            return False
        return any(edit.delete for edit in edits)

    def _sorted(
        self, living: list[Member]
    ) -> tuple[list[Member], list[tuple[Member, list[Difference]]]]:
        movable: list[Member] = []
        stuck: list[tuple[Member, list[Difference]]] = []
        for member in living:
            old = Target("symbol", member.module, member.name)
            fit = Fit(self._audit.readings, self._audit.search, old, self._canonical)
            paths = (
                {*self._users(member), member.path}
                if self._used_inside(member)
                else self._users(member)
            )
            own = {m.path for m in living if m is not member}
            differences = [d for path in sorted(paths) for d in fit.differences(path)
                           if path not in own or path == member.path]  # fmt: skip
            differences += [Difference(member.path, 1, why) for why in fit.as_a_thing()]
            differences += self._users_of.told_outside(member)
            offered = self._users_of.offered(member)
            if offered is not None:
                differences.append(Difference(member.path, 1, offered))
            if not self._users(member):  # strings alone: there is nothing to see how it is used
                differences += self._named(member)
            if differences:
                stuck.append((member, differences))
            else:
                movable.append(member)
        return movable, stuck

    def _users(self, member: Member) -> frozenset[str]:
        """Files that use it, under whichever name."""
        found = self._users_of.importers(member.symbol)
        for other in self._of("alias", "re_export"):
            if member.symbol in other.targets:
                found |= self._users_of.importers(other.symbol)
        return found - self._gone_files()

    def _importers(self, member: Member) -> None:
        new = self._canonical.symbol
        steps: list[Step] = []
        before = len(self._result.steps)
        for path in sorted(self._users(member)):
            step = self._rewrite(
                member.symbol, new, path, "importers", "its uses fit the canonical"
            )
            steps += [] if step is None else [step]
        if self._used_inside(member) and member.name != self._canonical.name:
            why = "its own file uses it, too, in ways that fit the canonical"
            step = self._rewrite(member.symbol, new, member.path, "importers", why)
            steps += [] if step is None else [step]
        patches = self._patched(member)
        if patches and all(step.kind != "manual" for step in steps):
            # Tests that patch the member where it is defined hold for all of its callers at once.
            del self._result.steps[before:]
            paths = {edit.path for step in steps for edit in step.edits} | {e.path for e in patches}
            self._result.steps.append(
                Step(
                    f"rewrite_imports {member.symbol} with what patches it", "importers",
                    "rewrite_imports", member.symbol,
                    list(dict.fromkeys([*(e for step in steps for e in step.edits), *patches])), [],
                    self._tests_of(member.symbol, paths), "medium",
                    "its uses fit the canonical; tests patch it where it is defined",
                )
            )  # fmt: skip

    def _patched(self, member: Member) -> list[Edit]:
        """Edits of strings by which tests patch a member in the module that defines it."""
        old = Target("symbol", member.module, member.name)
        paths = sorted({
            one.path for one in self._role.references
            if one.kind == "patch" and one.module == member.module and one.area != "backup"
            and (one.name or "").partition(".")[0] == member.name
        })  # fmt: skip
        return [
            edit for path in paths
            for edit in rewrite_texts(
                self._project, path, self._analysis.read(path), old, self._canonical, False
            )
        ]  # fmt: skip

    def _ghosts(self) -> None:
        """What is imported and not there, unguarded, becomes the canonical."""
        for member in self._of("ghost"):
            wanted = self._users_of.importing[member.symbol]
            guarded = [one for one in wanted if one.guard]
            if guarded:
                why = "its import fails and is caught: to mend it would change what runs"
                self._result.kept.append((member.symbol, why))
            for path in sorted({one.path for one in wanted} - {one.path for one in guarded}):
                self._rewrite(member.symbol, self._canonical.symbol, path, "importers",
                              "it does not exist: whoever runs this line fails")  # fmt: skip

    def _factories(self) -> None:
        """Factories beside the one that may make the canonical: their callers take that one."""
        allowed = [m for m in self._of("factory") if m.symbol in self._role.role.constructors]
        if len(allowed) != 1 or allowed[0].kind != "function":
            return
        right = allowed[0]
        for member in self._of("factory"):
            if member is right or member.kind != "function" or member.symbol in self._going:
                continue
            if self._signature(member) != self._signature(right):
                self._result.kept.append(
                    (member.symbol, f"it is called differently from {right.symbol}")
                )
                continue
            if self._body(member) != self._body(right):
                self._result.kept.append(
                    (member.symbol, f"it does something else than {right.symbol}")
                )
                continue
            ids = [
                step.id for path in sorted(self._users_of.importers(member.symbol))
                if (step := self._rewrite(member.symbol, right.symbol, path, "factories",
                                          "one factory makes the canonical", "rewrite_calls")) is not None
            ]  # fmt: skip
            self._delete(member, "factories", "medium", f"{right.symbol} makes the same", ids)

    def _body(self, member: Member) -> list[str]:
        """What a function does, as text: without its docstring, and with what its names mean."""
        module = self._module(member)
        for node in parse(self._analysis.read(member.path)).body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and node.name == member.name
            ):
                for one in ast.walk(node):
                    if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load):
                        found = self._project.lookup(module.name, one.id)
                        if found.kind == "symbol":
                            one.id = found.symbol
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                return [ast.dump(one) for one in body]
        return []

    def _signature(self, member: Member) -> object:
        one = self._module(member).functions.get(member.name)
        return None if one is None else (one.signature, "a" in one.flags)

    def _rivals(self, movable: list[Member]) -> None:
        left = list(movable)
        while left:
            free = [m for m in left if not any(self._inherits(o, m) for o in left if o is not m)]
            for member in free or left[:1]:
                needs = [step.id for step in self._result.steps if step.target == member.symbol]
                self._delete(
                    member, "rivals", "medium", "all of its callers use the canonical", needs
                )
                left.remove(member)

    def _inherits(self, one: Member, other: Member) -> bool:
        module = self._module(one)
        made = module.classes.get(one.name)
        return made is not None and any(
            target.symbol == other.symbol
            for target, _, _ in self._audit.search.ancestors(module, made)
        )

    def _manual(self, member: Member, differences: list[Difference]) -> None:
        where = "; ".join(f"{one.path}:{one.line} {one.why}" for one in differences[:3])
        self._result.steps.append(
            Step(
                f"manual {member.symbol}", "manual", "manual", member.symbol, [], [],
                self._tests_of(member.symbol, set()), "high",
                f"its callers do not fit {self._canonical.symbol}: {where}", differences,
            )
        )  # fmt: skip

    def _keep(self) -> None:
        known = {symbol for symbol, _ in self._result.kept} | self._going
        for member in self._role.members:
            if member.relation in _KEPT and member.symbol not in known:
                self._result.kept.append((member.symbol, _KEPT[member.relation]))
            elif member.relation == "rival" and member.area in ("backup", "test"):
                self._result.kept.append((member.symbol, f"a copy in the {member.area} area"))
        self._result.kept = sorted(set(self._result.kept))

    # -- steps --------------------------------------------------------------------------------

    def _rewrite(
        self, old: str, new: str, path: str, phase: str, why: str, kind: str = "rewrite_imports"
    ) -> Step | None:
        """A file takes another symbol; patch strings follow where the name is looked up."""
        module = self._project.by_path[path]
        if module.area == "backup":
            return None
        before, after = _pair(old), _pair(new)
        try:
            mover = Mover(self._project, module, self._analysis.read(path),
                          lambda name: self._users_of.reached(module, name))  # fmt: skip
            at_home = module.name == before[0]
            moved = mover.move_at_home(before[1], after) if at_home else mover.move(before, after)
        except Refused as error:
            step = Step(
                f"manual {old} in {path}", "manual", "manual", old, [], [], [], "high", str(error)
            )
            self._result.steps.append(step)
            return step
        edits = list(moved.edits)
        for name, renamed in moved.renamed.items():
            edits += self._followers(module, name, renamed)
        if not edits:
            concerned = not at_home and path in self._users_of.importers(old)
            line = self._users_of.mentioned(path, before[1]) if concerned else 0
            if line:
                why = f"{path}:{line}: how it uses {before[1]} is not understood"
                step = Step(f"manual {old} in {path}", "manual", "manual", old, [], [], [], "high", why,
                            [Difference(path, line, why)])  # fmt: skip
                self._result.steps.append(step)
                return step
            return None
        step = Step(
            f"{kind} {old} in {path}", phase, kind, old, edits, [],
            self._tests_of(old, {edit.path for edit in edits}),
            "low" if phase == "names" else "medium", why,
        )  # fmt: skip
        self._result.steps.append(step)
        return step

    def _followers(self, module: Module, name: str, renamed: str) -> Iterator[Edit]:
        """Strings elsewhere that look a name up in this file."""
        needle = encoded(f"{module.name}.{name}")
        old = Target("symbol", module.name, name)
        new = Target("symbol", module.name, renamed)
        for path, other in self._project.by_path.items():
            data = self._analysis.read(path)
            if needle in data and other.area != "backup":
                yield from rewrite_texts(self._project, path, data, old, new, False)

    def _removal(self, member: Member) -> list[Edit]:
        module = self._module(member)
        wanted = self._users_of.wanted[module.name] - {member.name}
        wanted |= {"*"} if self._users_of.opened[module.name] - self._gone_files() else set()
        return remove_name(module, self._analysis.read(module.path), member.name, wanted)

    def _delete(
        self, member: Member, phase: str, risk: str, why: str, needs: Iterable[str]
    ) -> bool:
        try:
            edits = self._removal(member)
            if (
                member.kind == "class" and member.name == self._canonical.name
                and not any(edit.delete for edit in edits) and self._used_inside(member)
            ):  # fmt: skip
                # Its file goes on with the canonical of that very name: both at once would be one too many.
                module = self._module(member)
                mover = Mover(self._project, module, self._analysis.read(member.path))
                edits.append(mover.imported_at_top(_pair(self._canonical.symbol)))
        except Refused as error:
            self._result.kept.append((member.symbol, str(error)))
            return False
        self._going.add(member.symbol)
        self._result.steps.append(
            Step(
                f"delete {member.symbol}", phase, "delete", member.symbol, edits, list(needs),
                self._tests_of(member.symbol, set()), risk, why,
            )
        )  # fmt: skip
        return True

    def _tests_of(self, symbol: str, paths: set[str]) -> list[str]:
        """Test files that refer to a member directly, or to a file that is edited."""
        modules = {self._project.by_path[p].name for p in paths if p in self._project.by_path}
        found = {one.path for one in self._tests if symbol in one.protects or one.path in paths}
        found |= {one.path for one in self._tests if self._reads(one, modules)}
        return sorted(found)

    def _reads(self, one: TestFile, modules: set[str]) -> bool:
        module = self._project.by_path[one.path]
        return any(self._project.imported(module, i) in modules for i in module.facts.imports)


def _pair(symbol: str) -> tuple[str, str]:
    module, _, name = symbol.partition(":")
    return module, name
