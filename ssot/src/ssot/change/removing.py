"""Taking a definition out of a file, or the whole file if nothing else is in it."""

from __future__ import annotations

import ast
from collections.abc import Collection

from ssot.change.edits import Edit, Source
from ssot.errors import Refused
from ssot.resolve.project import Module

_EMPTY = (ast.Import, ast.ImportFrom, ast.Pass)


def remove_name(module: Module, data: bytes, name: str, wanted: Collection[str]) -> list[Edit]:
    """Edits that take a module-level name out of a file.

    `wanted`: other names that somebody takes from this module; without one, a file that would
    define nothing goes. Raises `Refused`.
    """
    try:
        source = Source(module.path, data)
    except SyntaxError as error:
        raise Refused(f"{module.path} cannot be parsed: {error.msg}") from error
    found = _Remover(source, name)
    edits, left = found.edits()
    if not edits:
        raise Refused(f"{name} is bound in a block or a class of {module.path}, not by itself")
    if not left and not wanted and not module.is_package:
        return [Edit(module.path, 0, len(data), b"", 1, delete=True)]
    return [*edits, *found.unused_imports(wanted)]


class _Remover:
    def __init__(self, source: Source, name: str) -> None:
        self._source = source
        self._name = name
        self._gone: list[ast.stmt] = []

    def edits(self) -> tuple[list[Edit], bool]:
        """Edits, and whether the file still defines something."""
        edits: list[Edit] = []
        left = False
        for number, node in enumerate(self._source.tree.body):
            if self._defines(node):
                self._gone.append(node)
                edits.append(self._whole(number, node))
            elif isinstance(node, ast.ImportFrom | ast.Import) and self._binds(node):
                edits.append(self._from_import(node))
                left = left or len(node.names) > 1
            elif exports(node):
                edits += self._unlist(node)
            elif not isinstance(node, _EMPTY) and not _docstring(node):
                left = True
        return edits, left

    def _defines(self, node: ast.stmt) -> bool:
        match node:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
            ):
                return name == self._name
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                return name == self._name
        return False

    def _binds(self, node: ast.ImportFrom | ast.Import) -> bool:
        return any((one.asname or one.name) == self._name for one in node.names)

    def _whole(self, number: int, node: ast.stmt) -> Edit:
        """The statement with its decorators, the comments that stand right above, and the blank lines
        before it."""
        source = self._source
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        body = source.tree.body
        if not self._alone(node):
            return self._part(number, node)
        above = (body[number - 1].end_lineno or 0) if number else 0
        while first - 1 > above and source.line_text(first - 1).lstrip().startswith(b"#"):
            first -= 1
        while first - 1 > above and not source.line_text(first - 1).strip():
            first -= 1
        if not number or first == 1:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
        start, end = source.line_span(first, node.end_lineno or node.lineno)
        return Edit(source.path, start, end, b"", node.lineno)

    def _alone(self, node: ast.stmt) -> bool:
        """Nothing else stands on its lines, but for a comment behind it."""
        source = self._source
        start, end = source.span(node)
        first, last = source.line_span(node.lineno, node.end_lineno or node.lineno)
        behind = source.data[end:last].strip()
        return not source.data[first:start].strip() and (not behind or behind.startswith(b"#"))

    def _part(self, number: int, node: ast.stmt) -> Edit:
        """A statement beside others on a line, with the semicolon between."""
        source = self._source
        start, end = source.span(node)
        body = source.tree.body
        if number + 1 < len(body) and body[number + 1].lineno == node.end_lineno:
            end = source.span(body[number + 1])[0]
        elif number and body[number - 1].end_lineno == node.lineno:
            start = source.span(body[number - 1])[1]
        return Edit(source.path, start, end, b"", node.lineno)

    def _from_import(self, node: ast.ImportFrom | ast.Import) -> Edit:
        source = self._source
        start, end = source.span(node)
        kept = [one for one in node.names if (one.asname or one.name) != self._name]
        if not kept:
            if not self._alone(node):
                return self._part(source.tree.body.index(node), node)
            first, last = source.line_span(node.lineno, node.end_lineno or node.lineno)
            return Edit(source.path, first, last, b"", node.lineno)
        names = [one.name + (f" as {one.asname}" if one.asname else "") for one in kept]
        head = (
            "import "
            if isinstance(node, ast.Import)
            else f"from {'.' * node.level}{node.module or ''} import "
        )
        text = source.data[start:end]
        if b"\n" in text:
            gone = next(one for one in node.names if one not in kept)
            return Edit(source.path, *source.cut(gone, end), b"", node.lineno)
        return Edit(source.path, start, end, (head + ", ".join(names)).encode(), node.lineno)

    def _unlist(self, node: ast.stmt) -> list[Edit]:
        """Take the name out of `__all__`."""
        source = self._source
        value = listed(node, self._name)
        if value is None:
            return []
        elements = value.elts
        for number, one in enumerate(elements):
            if not (isinstance(one, ast.Constant) and one.value == self._name):
                continue
            if isinstance(value, ast.Tuple) and len(elements) == 2:  # ("a") is no tuple
                first, last = source.span(elements[0])[0], source.span(elements[1])[1]
                kept = source.text(elements[1 - number])
                return [Edit(source.path, first, last, kept + b",", one.lineno)]
            return [Edit(source.path, *source.cut(one, source.span(value)[1]), b"", one.lineno)]
        return []

    def unused_imports(self, wanted: Collection[str]) -> list[Edit]:
        """Imports that only what has gone used."""
        body = [node for node in self._source.tree.body if node not in self._gone]
        used = {one.id for node in body for one in ast.walk(node) if isinstance(one, ast.Name)}
        was = {one.id for node in self._gone for one in ast.walk(node) if isinstance(one, ast.Name)}
        texts = {one.value for node in body for one in ast.walk(node)
                 if isinstance(one, ast.Constant) and isinstance(one.value, str)}  # fmt: skip
        edits: list[Edit] = []
        for node in body:
            if not isinstance(node, ast.Import | ast.ImportFrom) or len(node.names) > 1:
                continue
            if not self._alone(node):
                continue
            bound = node.names[0].asname or node.names[0].name.partition(".")[0]
            if bound in was and bound not in used and bound not in wanted and bound not in texts:
                start, end = self._source.line_span(node.lineno, node.end_lineno or node.lineno)
                edits.append(Edit(self._source.path, start, end, b"", node.lineno))
        return edits


def exports(node: ast.stmt) -> bool:
    """It binds or lengthens `__all__`."""
    match node:
        case (
            ast.Assign(targets=[ast.Name(id="__all__")])
            | ast.AnnAssign(target=ast.Name(id="__all__"))
            | ast.AugAssign(target=ast.Name(id="__all__"))
            | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="__all__"))))
        ):
            return True
    return False


def listed(node: ast.stmt, name: str) -> ast.List | ast.Tuple | None:
    """The list or tuple in a statement about `__all__` that holds a name."""
    if exports(node):
        for one in ast.walk(node):
            if isinstance(one, ast.List | ast.Tuple) and any(
                isinstance(item, ast.Constant) and item.value == name for item in one.elts
            ):
                return one
    return None


def _docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
