"""Strings and prose that name a symbol or its file, and are to name another."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection

from ssot.change.edits import Edit, Source
from ssot.resolve.project import Project, Target
from ssot.tree.files import encoded


def rewrite_texts(
    project: Project, path: str, data: bytes, old: Target, new: Target, whole: bool
) -> list[Edit]:
    """Edits of a file's strings, docstrings or, of a text, lines. `whole`: the module goes, too."""
    dotted = {
        f"{old.module}.{old.name}": f"{new.module}.{new.name}",
        f"{old.module}:{old.name}": f"{new.module}:{new.name}",
    }
    exact: dict[str, str] = {}
    if whole:
        exact[old.module] = new.module
        before, after = project.modules.get(old.module), project.modules.get(new.module)
        if before is not None and after is not None:
            exact[before.path] = after.path
    if not path.endswith(".py"):
        return _prose(path, data, 0, data, dotted | exact, 1, (old, new))
    try:
        source = Source(path, data)
    except SyntaxError:
        return []
    edits: list[Edit] = []
    docs = _docstrings(source.tree)
    loggers = _loggers(source.tree)
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        shown = f"from {old.module} import {old.name}"
        if not any(text in node.value for text in (*dotted, *exact, shown)):
            continue
        start, end = source.span(node)
        text = data[start:end]
        if id(node) in docs:
            edits += _prose(path, data, start, text, dotted | exact, node.lineno, (old, new))
            continue
        if id(node) in loggers:
            continue
        value = node.value
        meant = exact.get(value)
        for before, after in dotted.items():
            if value == before or value.startswith(before + "."):
                meant = after + value[len(before) :]
        if meant is not None and encoded(value) in text:
            after_text = text.replace(encoded(value), encoded(meant))
            edits.append(Edit(path, start, end, after_text, node.lineno))
    return edits


def _prose(
    path: str, data: bytes, start: int, text: bytes, names: dict[str, str], line: int,
    moved: tuple[Target, Target],
) -> list[Edit]:  # fmt: skip
    """Names in a text. Where it shows an import of the old name, its other uses there follow."""
    old, new = moved
    after = {encoded(before): encoded(now) for before, now in names.items()}
    shown = encoded(f"from {old.module} import {old.name}")
    alone = re.compile(re.escape(shown) + rb"(?=[ \t]*(?:$|#|\n|\r|``|`|;))", re.MULTILINE)
    if alone.search(text):
        after[shown] = encoded(f"from {new.module} import {new.name}")
        after[encoded(old.name)] = encoded(new.name)
    pattern = _pattern(after, encoded(old.name))
    imports = [one.span() for one in re.finditer(rb"(?m)^.*\bfrom\s+\S+\s+import\b.*$", text)]
    edits: list[Edit] = []
    for found in pattern.finditer(text):
        what = found.group()
        inside = any(first <= found.start() < last for first, last in imports)
        if inside and what != shown and what == encoded(old.module):
            continue  # an import of several names: half of it would be wrong
        at = start + found.start()
        number = line + text.count(b"\n", 0, found.start())
        edits.append(Edit(path, at, at + len(what), after[what], number))
    return edits


def _pattern(names: Collection[bytes], plain: bytes) -> re.Pattern[bytes]:
    """Whole dotted names; behind the plain one an attribute or a call may follow."""
    dotted = sorted((name for name in names if name != plain), key=len, reverse=True)
    parts = [rb"(?<![\w./])(?:" + b"|".join(map(re.escape, dotted)) + rb")(?![\w/]|\.\w|:\w)"]
    if plain in names:
        parts.append(rb"(?<![\w./:])" + re.escape(plain) + rb"(?!\w)")
    return re.compile(b"|".join(parts))


def _loggers(tree: ast.Module) -> set[int]:
    """Names of loggers: they are configured elsewhere, by these very names."""
    return {
        id(one) for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger")
        for one in node.args
    }  # fmt: skip


def _docstrings(tree: ast.Module) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as text), *_]:
                    found.add(id(text))
    return found
