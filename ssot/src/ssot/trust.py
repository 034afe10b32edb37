"""Which tests protect which member, and whether they can be trusted."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from ssot.analysis import Analysis
from ssot.index.extract import dotted, parse
from ssot.index.facts import Facts
from ssot.resolve.broken import broken_imports
from ssot.roles.audit import Audit
from ssot.tree.areas import file_patterns

Defined = ast.FunctionDef | ast.AsyncFunctionDef
_COMMENTED = re.compile(r"^\s*#\s*(?:async\s+)?def\s+test\w*\s*\(", re.MULTILINE)
_RAISING = frozenset({"raises", "warns", "deprecated_call", "fail", "approx"})
_MOCKS = frozenset({"Mock", "MagicMock", "AsyncMock", "NonCallableMock", "create_autospec", "patch",
                    "SimpleNamespace"})  # fmt: skip
_SCANS = frozenset({"read_text", "rglob", "glob", "walk", "findall", "finditer", "search", "parse",
                    "readlines", "splitlines", "read", "open", "iterdir", "check_output", "getsource"})  # fmt: skip
_PURE = frozenset({"len", "list", "dict", "set", "tuple", "sorted", "str", "int", "float", "bool",
                   "sum", "min", "max", "any", "all", "range", "isinstance", "type", "repr",
                   "enumerate", "zip", "hasattr", "getattr", "frozenset", "print"})  # fmt: skip


def test_functions(facts: Facts) -> list[str]:
    """Test functions that pytest collects from a file, by dotted name."""
    found = [one.name for one in facts.functions if one.name.startswith("test")]
    for one in facts.classes:
        last = one.name.rpartition(".")[2]
        if last.startswith("Test") or any(base.endswith("TestCase") for base in one.bases):
            found += [f"{one.name}.{m.name}" for m in one.methods if m.name.startswith("test")]
    return found


@dataclass(frozen=True, order=True)
class Distrust:
    """Why a test cannot be trusted."""

    line: int
    rule: str
    why: str


@dataclass
class TestFile:
    """A file of tests."""

    path: str
    functions: int
    protects: list[str] = field(default_factory=list[str])
    trust: list[Distrust] = field(default_factory=list[Distrust])

    def as_json(self) -> dict[str, Any]:
        """The contract's shape."""
        return {
            "path": self.path, "functions": self.functions, "protects": self.protects,
            "trust": [vars(one) for one in self.trust],
        }  # fmt: skip


def test_files(audit: Audit) -> list[TestFile]:
    """Every file of tests of a tree, by path."""
    analysis = audit.analysis
    files = file_patterns(analysis.root)
    protected = _protected(audit)
    helpers = _asserting(analysis)
    hard = {one.path: one for one in reversed(broken_imports(analysis.project)) if one.hard}
    found: list[TestFile] = []
    for path, module in sorted(analysis.project.by_path.items()):
        name = path.rpartition("/")[2]
        if module.area != "test" or not any(fnmatchcase(name, pattern) for pattern in files):
            continue
        one = TestFile(path, len(test_functions(module.facts)), sorted(protected.get(path, ())))
        data = analysis.read(path)
        if module.facts.error is not None:
            line, message = module.facts.error
            one.trust.append(Distrust(line, "not-importable", message))
        elif path in hard:
            missing = hard[path]
            what = f"{missing.module}:{missing.name}" if missing.name else missing.module
            one.trust.append(Distrust(missing.line, "not-importable", f"there is no {what}"))
        if module.facts.error is None:
            one.trust += _Judge(analysis, path, data, helpers).judge()
        one.trust.sort()
        found.append(one)
    return found


def _protected(audit: Audit) -> dict[str, set[str]]:
    """Members that test files refer to directly: imports and patched names."""
    found: dict[str, set[str]] = {}
    for role in audit.roles.values():
        for one in role.references:
            if one.area == "test" and one.kind in ("from", "import", "patch", "importlib"):
                if one.target in role.inventory.members:
                    found.setdefault(one.path, set()).add(one.target)
    return found


def _asserting(analysis: Analysis) -> frozenset[str]:
    """Names of functions among the tests that assert something, themselves or by others."""
    calls: dict[str, set[str]] = {}
    found: set[str] = set()
    for path, module in analysis.project.by_path.items():
        if module.area != "test" or module.facts.error is not None:
            continue
        for node in ast.walk(parse(analysis.read(path))):
            if isinstance(node, Defined):
                if any(True for _ in _asserts(node)):
                    found.add(node.name)
                names = {_last(one.func) for one in ast.walk(node) if isinstance(one, ast.Call)}
                calls.setdefault(node.name, set()).update(names)
    for _ in range(3):
        found |= {name for name, called in calls.items() if called & found}
    return frozenset(name for name in found if not name.startswith("test"))


class _Judge:
    """Looks at the tests of one file."""

    def __init__(self, analysis: Analysis, path: str, data: bytes, helpers: frozenset[str]) -> None:
        self._asserting = helpers
        self._module = analysis.project.by_path[path]
        self._text = data.decode(errors="replace")
        self._tree = parse(data)
        self._project = analysis.project

    def judge(self) -> list[Distrust]:
        found: list[Distrust] = []
        tests = list(self._tests())
        if not tests:
            commented = _COMMENTED.search(self._text)
            if commented:
                line = self._text.count("\n", 0, commented.start()) + 1
                line += commented.group().count("\n")
                return [Distrust(line, "commented-out", "its tests are comments")]
            return [Distrust(1, "empty", "no test is defined")]
        whole = self._skipped_whole()
        if whole:
            return [whole]
        for node, marks in tests:
            found += self._one(node, marks)
        return found

    def _tests(self) -> Iterator[tuple[Defined, list[ast.expr]]]:
        return self._tests_in(self._tree.body, [])

    def _tests_in(
        self, body: list[ast.stmt], marks: list[ast.expr]
    ) -> Iterator[tuple[Defined, list[ast.expr]]]:
        for node in body:
            if isinstance(node, Defined) and node.name.startswith("test"):
                yield node, [*node.decorator_list, *marks]
            elif isinstance(node, ast.ClassDef):
                case = any(dotted(base).endswith("TestCase") for base in node.bases)
                if node.name.startswith("Test") or case:
                    yield from self._tests_in(node.body, [*node.decorator_list, *marks])
            elif isinstance(node, ast.If | ast.Try | ast.With):
                for part in ("body", "orelse", "handlers", "finalbody"):
                    yield from self._tests_in(getattr(node, part, []), marks)
            elif isinstance(node, ast.ExceptHandler):
                yield from self._tests_in(node.body, marks)

    def _skipped_whole(self) -> Distrust | None:
        for node in self._tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                    for mark in value.elts if isinstance(value, ast.List | ast.Tuple) else [value]:
                        if _skips(mark):
                            return Distrust(node.lineno, "skipped", "the whole file is skipped")
                case ast.Expr(value=ast.Call(func=func)) if dotted(func) in ("pytest.skip", "skip"):
                    return Distrust(node.lineno, "skipped", "the whole file is skipped")
        return None

    def _one(self, node: Defined, marks: list[ast.expr]) -> Iterator[Distrust]:
        skipping = next((mark for mark in marks if _skips(mark)), None)
        if skipping is not None:
            yield Distrust(node.lineno, "skipped", f"{node.name} is skipped")
            return
        body = [one for one in node.body
                if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]  # fmt: skip
        match body:
            case [ast.Expr(value=ast.Call(func=func)), *_] if dotted(func).rpartition(".")[2] in (
                "skip",
                "skipTest",
            ):
                yield Distrust(node.lineno, "skipped", f"{node.name} skips itself")
                return
        if all(isinstance(one, ast.Pass) for one in body):
            yield Distrust(node.lineno, "empty", f"{node.name} does nothing")
            return
        asserts = list(_asserts(node))
        calls = (_last(one.func) for one in ast.walk(node) if isinstance(one, ast.Call))
        if not asserts and not any(name in self._asserting for name in calls):
            yield Distrust(node.lineno, "no-assert", f"{node.name} asserts nothing")
        elif asserts and self._inverted(node, asserts):
            yield Distrust(
                node.lineno,
                "inverted",
                f"{node.name} passes while it finds something in the source",
            )
        elif asserts and self._self_produced(node, asserts):
            yield Distrust(
                node.lineno, "self-produced", f"{node.name} asserts on what it made itself"
            )

    # -- inverted ------------------------------------------------------------------------------

    def _inverted(self, node: Defined, asserts: list[ast.AST]) -> bool:
        scanned = self._scanned(node)
        return bool(scanned) and all(_not_empty(one, scanned) for one in asserts)

    def _scanned(self, node: Defined) -> set[str]:
        """Names that hold what was found in source text."""
        sources: set[str] = set()
        if not any(isinstance(c, ast.Call) and _last(c.func) in _SCANS for c in self._reach(node)):
            return set()
        if not any(_of_source(one) for one in self._reach(node)):
            return set()
        for _ in range(3):
            for one in ast.walk(node):
                names: list[str] = []
                match one:
                    case ast.Assign(targets=targets, value=value):
                        names = [t.id for t in targets if isinstance(t, ast.Name)]
                    case ast.For(target=ast.Name(id=name), iter=value):
                        names = [name]
                    case ast.Call(
                        func=ast.Attribute(
                            value=ast.Name(id=name), attr="append" | "extend" | "add" | "update"
                        )
                    ):
                        if self._in_scan(node, one, sources):
                            sources.add(name)
                        continue
                    case _:
                        continue
                if _from_scan(value, sources, self._helpers):
                    sources.update(names)
        return sources

    def _in_scan(self, node: Defined, call: ast.Call, sources: set[str]) -> bool:
        """It stands in a loop over what was scanned."""
        for one in ast.walk(node):
            if isinstance(one, ast.For) and any(inner is call for inner in ast.walk(one)):
                if _from_scan(one.iter, sources, self._helpers):
                    return True
        return False

    @property
    def _helpers(self) -> set[str]:
        """Functions of this file that scan."""
        return {
            one.name for one in self._tree.body
            if isinstance(one, Defined) and not one.name.startswith("test")
            and any(isinstance(c, ast.Call) and _last(c.func) in _SCANS for c in ast.walk(one))
        }  # fmt: skip

    def _reach(self, node: Defined) -> Iterator[ast.AST]:
        yield from ast.walk(node)
        called = {_last(c.func) for c in ast.walk(node) if isinstance(c, ast.Call)}
        for one in self._tree.body:
            if isinstance(one, Defined) and one.name in called:
                yield from ast.walk(one)

    # -- self-produced --------------------------------------------------------------------------

    @cached_property
    def _harmless(self) -> set[str]:
        """Names in this file that bring nothing of the project: mocks, constants, asyncio."""
        found = {"self", "True", "False", "None", "pytest", "mock", "unittest", "asyncio"}
        for one in self._module.facts.imports:
            bound = one.as_name or one.name or one.module.partition(".")[0]
            if one.module.startswith(("unittest", "types")) and bound in _MOCKS | {
                "mock",
                "unittest",
                "types",
            }:
                found.add(bound)
        for node in self._tree.body:
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if _literal(value):
                    found.add(name)
        return found

    def _self_produced(self, node: Defined, asserts: list[ast.AST]) -> bool:
        if any(_last(getattr(one, "func", None)) in ("raises", "warns") for one in asserts):
            return False
        arguments = node.args
        given = {one.arg for one in [*arguments.args, *arguments.kwonlyargs]} - {"self"}
        if given:
            return False  # by a fixture: it may be anything
        own = {one.id for one in ast.walk(node)
               if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store)}  # fmt: skip
        own |= {one.arg for one in ast.walk(node) if isinstance(one, ast.arg)}
        own |= {one.name for one in ast.walk(node) if isinstance(one, Defined | ast.ClassDef)}
        return all(
            one.id in own or one.id in _PURE or one.id in self._harmless
            for one in ast.walk(node)
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Load)
        ) and not any(isinstance(one, ast.Import | ast.ImportFrom) for one in ast.walk(node))


def _asserts(node: ast.AST) -> Iterator[ast.AST]:
    for one in ast.walk(node):
        if isinstance(one, ast.Assert):
            yield one
        elif isinstance(one, ast.Call):
            name = _last(one.func)
            if name in _RAISING or name.startswith("assert"):
                yield one


def _of_source(node: ast.AST) -> bool:
    """It speaks of Python source: a pattern or path of such files, or a look at a syntax tree."""
    match node:
        case ast.Constant(value=str(text)):
            return ".py" in text or "grep" in text
        case ast.Call(func=func):
            return dotted(func) in ("ast.parse", "inspect.getsource", "getsource")
    return False


def _literal(node: ast.expr) -> bool:
    return all(
        isinstance(one, ast.Constant | ast.List | ast.Tuple | ast.Dict | ast.Set | ast.expr_context)
        for one in ast.walk(node)
    )


def _last(node: ast.AST | None) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _skips(mark: ast.expr) -> bool:
    """An unconditional skip, or a test that is expected to fail."""
    call = mark if isinstance(mark, ast.Call) else None
    name = dotted(call.func if call else mark).rpartition(".")[2]
    if name in ("skip", "xfail", "expectedFailure"):
        return True
    if name == "skipif" and call and call.args:
        return isinstance(call.args[0], ast.Constant) and bool(call.args[0].value)
    return False


def _from_scan(value: ast.AST, sources: set[str], helpers: set[str]) -> bool:
    for one in ast.walk(value):
        if isinstance(one, ast.Name) and one.id in sources:
            return True
        if isinstance(one, ast.Call) and (_last(one.func) in _SCANS or _last(one.func) in helpers):
            return True
    return False


def _not_empty(node: ast.AST, sources: set[str]) -> bool:
    """`assert found`, `assert len(found) > 0`, `!= []`, `>= 1`, `assertTrue(found)`."""
    tests: list[ast.AST] = []
    if isinstance(node, ast.Assert):
        tests = [node.test]
    elif isinstance(node, ast.Call):
        name = _last(node.func)
        if name in (
            "assertTrue",
            "assertGreater",
            "assertGreaterEqual",
            "assertNotEqual",
            "assertIn",
        ):
            tests = list(node.args[:1])
    for test in tests:
        match test:
            case ast.Name(id=name) if name in sources:
                return True
            case ast.Call(func=ast.Name(id="len" | "any" | "bool" | "list"), args=[inner]):
                if _names_any(inner, sources):
                    return True
            case ast.Compare(
                left=left, ops=[ast.Gt() | ast.GtE() | ast.NotEq()], comparators=[right]
            ):
                if _names_any(left, sources) and _small(right, test.ops[0]):
                    return True
    return False


def _names_any(node: ast.AST, sources: set[str]) -> bool:
    return any(isinstance(one, ast.Name) and one.id in sources for one in ast.walk(node))


def _small(node: ast.AST, op: ast.cmpop) -> bool:
    match node:
        case ast.Constant(value=int(value)):
            return value >= 1 or not isinstance(op, ast.GtE)
        case ast.List(elts=[]) | ast.Tuple(elts=[]) | ast.Call(args=[]) | ast.Dict(keys=[]):
            return True
    return False
