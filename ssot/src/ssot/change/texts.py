"""Strings and prose that name a symbol or its file, and are to name another."""

from __future__ import annotations

import ast
import re

from ssot.change.edits import Edit, Source
from ssot.resolve.project import Project, Target


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
        return _prose(path, data, 0, data, dotted | exact, 1)
    try:
        source = Source(path, data)
    except SyntaxError:
        return []
    edits: list[Edit] = []
    docs = _docstrings(source.tree)
    for node in ast.walk(source.tree):
        if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            continue
        if not any(text in node.value for text in (*dotted, *exact)):
            continue
        start, end = source.span(node)
        text = data[start:end]
        if id(node) in docs:
            edits += _prose(path, data, start, text, dotted | exact, node.lineno)
            continue
        value = node.value
        meant = exact.get(value)
        for before, after in dotted.items():
            if value == before or value.startswith(before + "."):
                meant = after + value[len(before) :]
        if meant is not None and value.encode() in text:
            edits.append(
                Edit(path, start, end, text.replace(value.encode(), meant.encode()), node.lineno)
            )
    return edits


def _prose(
    path: str, data: bytes, start: int, text: bytes, names: dict[str, str], line: int
) -> list[Edit]:
    pattern = re.compile(
        b"(?<![\\w./])(?:" + b"|".join(re.escape(name.encode()) for name in sorted(names, key=len, reverse=True))
        + b")(?![\\w/]|\\.\\w|:\\w)"
    )  # fmt: skip
    edits: list[Edit] = []
    for found in pattern.finditer(text):
        at = start + found.start()
        number = line + text.count(b"\n", 0, found.start())
        after = names[found.group().decode()].encode()
        edits.append(Edit(path, at, at + len(found.group()), after, number))
    return edits


def _docstrings(tree: ast.Module) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            match node.body:
                case [ast.Expr(value=ast.Constant(value=str()) as text), *_]:
                    found.add(id(text))
    return found
