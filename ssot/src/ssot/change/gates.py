"""Gates: what a change must not make worse, whoever made it.

Compared are two states of a tree, by keys without line numbers: (path after renames, scope, module,
name). A gate is closed by what is new; what was there before is nobody's fault now.
"""

from __future__ import annotations

import ast
import builtins
import io
import json
import shutil
import subprocess
import sys
import tempfile
import tokenize
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssot.analysis import Analysis
from ssot.errors import SsotError
from ssot.index.compiling import compile_error
from ssot.index.extract import parse, walk_scopes

Key = tuple[str, str, str, str]
"""Path, scope, module (or rule), name."""


@dataclass(frozen=True, order=True)
class Finding:
    """Something wrong in one state of the tree."""

    key: Key
    path: str
    line: int


@dataclass
class GateResult:
    """One gate: what is new, and what is gone."""

    gate: str
    new: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    gone: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def ok(self) -> bool:
        return not self.new

    def as_json(self) -> dict[str, Any]:
        """The contract's shape."""
        return {"gate": self.gate, "ok": self.ok, "new": self.new, "gone": self.gone}


def static_gates(
    before: Analysis, after: Analysis, renames: Mapping[str, str] | None = None
) -> list[GateResult]:
    """Gates that only read: parsing, imports, undefined names, new names.

    `renames`: old path to new path.
    """
    renames = dict(renames or {})
    changed = _changed(before, after, renames)
    old, new = changed
    known = {renames.get(path, path) for path in before.ids}

    def compare(gate: str, find: Callable[[Analysis, Collection[str]], Iterable[Finding]],
                everything: bool = False) -> GateResult:  # fmt: skip
        was = list(find(before, before.ids if everything else old))
        now = list(find(after, after.ids if everything else new))
        return _compared(gate, was, now, renames, known)

    was_ours = before.project.tops - after.project.tops

    def unresolved(analysis: Analysis, paths: Collection[str]) -> Iterator[Finding]:
        yield from _broken(analysis, paths)
        yield from _starless(analysis, paths)
        if analysis is after:
            yield from _left(analysis, was_ours)

    return [
        compare("parse", _unparsed),
        compare("imports", unresolved, everything=True),
        compare("names", _undefined),
        compare("compile", _uncompiled),
        _proved(before, after, new, renames),
    ]


def _changed(
    before: Analysis, after: Analysis, renames: Mapping[str, str]
) -> tuple[set[str], set[str]]:
    """Paths whose content differs, as they are called before and after."""
    back = {new: old for old, new in renames.items()}
    new = {path for path, sha in after.ids.items() if before.ids.get(back.get(path, path)) != sha}
    old = {back.get(path, path) for path in new} | (before.ids.keys() - {
        back.get(path, path) for path in after.ids
    })  # fmt: skip
    return {path for path in old if path in before.ids}, new


def _compared(
    gate: str, was: list[Finding], now: list[Finding], renames: Mapping[str, str], known: set[str]
) -> GateResult:
    result = GateResult(gate)
    before = Counter((renames.get(one.key[0], one.key[0]), *one.key[1:]) for one in was)
    counted: Counter[tuple[str, ...]] = Counter()
    for one in sorted(now):
        counted[one.key] += 1
        if counted[one.key] > before[one.key]:
            status = "modified" if one.path in known else "added"
            result.new.append(_told(one, status))
    after = Counter(one.key for one in now)
    seen: Counter[tuple[str, ...]] = Counter()
    for one in sorted(was):
        key = (renames.get(one.key[0], one.key[0]), *one.key[1:])
        seen[key] += 1
        if seen[key] > after[key]:
            result.gone.append(_told(one, "modified"))
    return result


def _told(one: Finding, status: str) -> dict[str, Any]:
    return {"path": one.path, "line": one.line, "key": "|".join(one.key), "status": status}


# -- what the gates look at -----------------------------------------------------------------------


def _unparsed(analysis: Analysis, paths: Collection[str]) -> Iterator[Finding]:
    for path in paths:
        error = analysis.project.by_path[path].facts.error
        if error is not None:
            yield Finding((path, "", "parse", ""), path, error[0])


def _broken(analysis: Analysis, paths: Collection[str]) -> Iterator[Finding]:
    for module, one, base, _ in analysis.project.missing:
        if module.path in paths and module.facts.error is None:
            named = base or "." * one.level
            yield Finding((module.path, one.scope, named, one.name or ""), module.path, one.line)


def _left(analysis: Analysis, tops: Collection[str]) -> Iterator[Finding]:
    """Imports of top-level names that were the project's, and are no more."""
    for path, module in analysis.project.by_path.items():
        for one in module.facts.imports if tops else ():
            if not one.level and one.module.partition(".")[0] in tops:
                yield Finding((path, one.scope, one.module, one.name or ""), path, one.line)


def _starless(analysis: Analysis, paths: Collection[str]) -> Iterator[Finding]:
    """Names that a file could only have by `from m import *`, and has not."""
    for path in paths:
        module = analysis.project.by_path[path]
        if module.facts.error is not None or not module.stars:
            continue
        tree = parse(analysis.read(path))
        bound = {one.id for one in ast.walk(tree)
                 if isinstance(one, ast.Name) and not isinstance(one.ctx, ast.Load)}  # fmt: skip
        bound |= {one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)}
        for node, where in walk_scopes(tree):
            if isinstance(node, ast.Name) and node.id not in bound and node.id not in _BUILTIN:
                found = analysis.project.lookup(module.name, node.id)
                if found.kind == "missing" and not _bound_inside(tree, node.id):
                    yield Finding((path, where.scope, "star", node.id), path, node.lineno)


_BUILTIN = frozenset(dir(builtins))


def _bound_inside(tree: ast.Module, name: str) -> bool:
    """Something in the file binds a name in another way than by an assignment."""
    for one in ast.walk(tree):
        match one:
            case ast.alias() if (one.asname or one.name.partition(".")[0]) == name:
                return True
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef() if one.name == name:
                return True
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if one.name == name:
                return True
    return False


def _uncompiled(analysis: Analysis, paths: Collection[str]) -> Iterator[Finding]:
    """What parses and does not compile: `return` outside a function and the like."""
    for path in paths:
        if analysis.project.by_path[path].facts.error is None:
            error = compile_error(analysis.read(path))
            if error is not None:
                yield Finding((path, "", "compile", ""), path, error[0])


def _undefined(analysis: Analysis, paths: Collection[str]) -> Iterator[Finding]:
    """ruff's F821 (undefined), F811 (defined twice) and F822 (in `__all__` and undefined), and globals
    that nobody binds."""
    texts = {
        path: analysis.read(path) for path in sorted(paths)
        if analysis.project.by_path[path].facts.error is None
    }  # fmt: skip
    yield from _ruff(texts)
    for path, data in texts.items():
        yield from _unbound(path, data)


def _ruff(texts: Mapping[str, bytes]) -> Iterator[Finding]:
    if not texts:
        return
    with tempfile.TemporaryDirectory(prefix="ssot-") as folder:
        # By numbers: ruff leaves out folders of some names, and a path may be no text.
        paths = dict(enumerate(texts))
        for number, path in paths.items():
            (Path(folder) / f"n{number}.py").write_bytes(_as_utf8(texts[path]))
        done = subprocess.run(
            [*ruff(), "check", "--isolated", "--ignore-noqa", "--no-cache", "--quiet", "--select",
             ",".join(_RUFF), "--output-format", "json", folder],
            capture_output=True, check=False,
        )  # fmt: skip
        try:
            found = json.loads(done.stdout)
        except ValueError as error:
            words = done.stderr.decode(errors="replace").strip()
            raise SsotError(f"ruff did not answer: {words[:200]}") from error
        for one in found:
            if one["code"] not in _RUFF:
                continue
            path = paths[int(Path(one["filename"]).stem[1:])]
            name = one["message"].split("`")[1] if "`" in one["message"] else ""
            line = one["location"]["row"]
            yield Finding((path, _scope_at(texts[path], line), one["code"], name), path, line)


_RUFF = ("F811", "F821", "F822")


def _as_utf8(data: bytes) -> bytes:
    """A file in an encoding of its own, as ruff reads it."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return data if encoding.startswith("utf-8") else data.decode(encoding).encode()


def ruff() -> list[str]:
    """The command of ruff, beside this interpreter or on the path. Raises `SsotError`."""
    beside = Path(sys.executable).parent / "ruff"
    if beside.exists():
        return [str(beside)]
    found = shutil.which("ruff")
    if found is None:
        raise SsotError("ruff is not installed beside ssot: pip install ruff")
    return [found]


def _scope_at(data: bytes, line: int) -> str:
    found = ""
    for node, where in walk_scopes(parse(data), [line]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.lineno <= line <= (node.end_lineno or node.lineno):
                found = f"{where.scope}.{node.name}" if where.scope else node.name
    return found


def _unbound(path: str, data: bytes) -> Iterator[Finding]:
    """`global NAME` in a function, of a name that nobody binds in the module."""
    if b"global " not in data:
        return
    tree = parse(data)
    asked: list[tuple[str, str, int]] = []
    declared: set[tuple[str, str]] = set()
    added: set[int] = set()
    for node, where in walk_scopes(tree):
        if isinstance(node, ast.Global):
            asked += [(name, where.scope, node.lineno) for name in node.names]
            declared.update((name, where.scope) for name in node.names)
        elif isinstance(node, ast.AugAssign):  # adds to what must be there
            added.add(id(node.target))
    bound: set[str] = set()
    for node, where in walk_scopes(tree):
        names: list[str] = []
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names = [] if id(node) in added else [node.id]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.alias):
            names = [node.asname or node.name.partition(".")[0]]
        bound.update(n for n in names if where.place == "module" or (n, where.scope) in declared)
    for name, scope, line in asked:
        if name not in bound:
            yield Finding((path, scope, "global", name), path, line)


def _proved(
    before: Analysis, after: Analysis, paths: Collection[str], renames: Mapping[str, str]
) -> GateResult:
    """Every name of the project that a changed file imports and did not before, exists for sure."""
    result = GateResult("new-imports")
    back = {new: old for old, new in renames.items()}
    for path in sorted(paths):
        module = after.project.by_path[path]
        old = before.project.by_path.get(back.get(path, path))
        was = Counter[tuple[str, str | None]]()
        if old is not None:
            was.update((before.project.imported(old, one), one.name) for one in old.facts.imports)
        for one in module.facts.imports:
            key = (after.project.imported(module, one), one.name)
            was[key] -= 1
            if was[key] >= 0 or one.kind == "star":
                continue
            target = after.project.target(module, one)
            if target.kind in ("missing", "uncertain", "circle"):
                finding = Finding((path, one.scope, key[0], one.name or ""), path, one.line)
                result.new.append(_told(finding, "added" if old is None else "modified"))
    return result
