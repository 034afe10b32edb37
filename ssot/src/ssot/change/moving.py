"""Making a file use another symbol: its imports, the uses of their names, its `__all__`."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from ssot.change.edits import Edit, Source
from ssot.change.removing import exports
from ssot.errors import Refused
from ssot.index.extract import parse
from ssot.resolve.project import Module, Project

_LOOKING_UP = frozenset({"ForwardRef", "NewType", "TypeVar", "cast"})
Statement = ast.Import | ast.ImportFrom


@dataclass
class Moved:
    """The edits of a file, and how names that others look up in it are called now."""

    edits: list[Edit] = field(default_factory=list[Edit])
    renamed: dict[str, str] = field(default_factory=dict[str, str])
    """Module-level names of the file: old to new."""


class Mover:
    """Rewrites imports of some symbols in one file."""

    def __init__(
        self, project: Project, module: Module, data: bytes,
        reached: Callable[[str], bool] = lambda _: False,
    ) -> None:  # fmt: skip
        """`reached`: whether another file takes a name out of this one when it runs.

        Raises `Refused` for a file that cannot be parsed."""
        self._project = project
        self._reached = reached
        self._module = module
        try:
            self._source = Source(module.path, data)
        except SyntaxError as error:
            raise Refused(f"{module.path} cannot be parsed: {error.msg}") from error
        self._parents = {
            id(child): node for node in ast.walk(self._source.tree)
            for child in ast.iter_child_nodes(node)
        }  # fmt: skip

    def move(self, old: tuple[str, str], new: tuple[str, str]) -> Moved:
        """Make every import of (module, name) one of another. Raises `Refused`."""
        moved = Moved()
        if "." in new[1]:
            raise Refused(
                f"{new[0]}:{new[1]} stands in a class, from which nothing can be imported"
            )
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.ImportFrom):
                self._from(node, old, new, moved)
            elif isinstance(node, ast.Import):
                self._import(node, old, new, moved)
        if moved.renamed:
            moved.edits += self._exported(moved.renamed)
        moved.edits = list(dict.fromkeys(moved.edits))
        return moved

    def move_at_home(self, name: str, new: tuple[str, str]) -> Moved:
        """In the file that defines a name: make all else in it use another symbol."""
        moved = Moved()
        tree = self._source.tree
        if not self._free(tree, new[1], new) and new[1] not in self._module.names:
            raise Refused(f"{self._module.path}: {new[1]} means something else here")
        for node in _outside(tree, name):
            if not isinstance(node.ctx, ast.Load):
                raise Refused(f"{self._module.path}:{node.lineno}: {name} is bound a second time")
            moved.edits.append(self._source.edit(node, new[1].encode()))
        if moved.edits and self._already(tree, new, new[1], tree) is None:
            moved.edits.append(self.imported_at_top(new))
        return moved

    def imported_at_top(self, new: tuple[str, str]) -> Edit:
        """An import of a symbol that the file does not have yet. Raises `Refused`."""
        self._no_circle(self._source.tree, new[0])
        return self._new_import(f"from {new[0]} import {new[1]}")

    def _new_import(self, statement: str) -> Edit:
        """A statement after the file's last import at its top, or after its docstring."""
        source, after = self._source, 0
        for node in source.tree.body:
            doc = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if not (doc or isinstance(node, ast.Import | ast.ImportFrom)):
                break
            after = node.end_lineno or node.lineno
        lines = source.data.splitlines()
        while not after or (after < len(lines) and lines[after - 1].lstrip()[:1] == b"#"):
            if after >= len(lines) or lines[after].lstrip()[:1] != b"#":  # licences and the like
                break
            after += 1
        at = source.line_span(after, after)[1] if after else 0
        return Edit(source.path, at, at, statement.encode() + source.newline(), after + 1)

    # -- from m import Name -------------------------------------------------------------------

    def _from(
        self, node: ast.ImportFrom, old: tuple[str, str], new: tuple[str, str], moved: Moved
    ) -> None:
        base = self._base(node)
        for alias in node.names:
            if base == old[0] and alias.name == old[1]:
                self._one(node, alias, old, new, moved)
            elif f"{base}.{alias.name}" == old[0]:
                self._of_module(node, alias, alias.asname or alias.name, old, new, moved)

    def _base(self, node: ast.ImportFrom) -> str:
        """The full name of the module that a statement takes names from."""
        if node.level:
            return self._module.absolute(node.level, node.module or "")
        return self._project.located(self._module, node.module or "")

    def _one(
        self, node: ast.ImportFrom, alias: ast.alias, old: tuple[str, str], new: tuple[str, str],
        moved: Moved,
    ) -> None:  # fmt: skip
        scope = self._scope(node)
        bound = alias.asname or alias.name
        name = bound
        if alias.asname is None and new[1] != old[1]:
            name = new[1] if self._all_renamable(old, new) else bound
        elif alias.asname == new[1]:
            name = new[1]
        as_part = f" as {name}" if name != new[1] else ""
        there = self._already(scope, new, name, node)
        if there is None:
            self._no_circle(node, new[0])
            self._replace(
                node, alias, f"from {self._written(node, new[0])} import {new[1]}{as_part}", moved
            )
        else:
            self._replace(node, alias, None, moved)
        if name != bound:
            moved.edits += self._rename(scope, bound, name)
            if isinstance(scope, ast.Module):
                moved.renamed[bound] = name

    def _no_circle(self, node: ast.AST, module: str) -> None:
        """Raises `Refused` if an import at module level would need this file to be read already."""
        if isinstance(self._scope(node), ast.Module) and self._project.circle(self._module, module):
            line: int = getattr(node, "lineno", 1)
            raise Refused(
                f"{self._module.path}:{line}: {module} imports this file when it is imported itself: a circle"
            )

    def _written(self, node: ast.ImportFrom, module: str) -> str:
        """The new module, relative if the statement was and it still can be in as many dots."""
        if node.level:
            parts = self._module.package.split(".")
            base = parts[: len(parts) - (node.level - 1)]
            prefix = ".".join(base) + "."
            if module.startswith(prefix):
                return "." * node.level + module[len(prefix) :]
        return module

    def _replace(
        self, node: Statement, alias: ast.alias, statement: str | None, moved: Moved
    ) -> None:
        """Take one name out of a statement, and put another statement in its place."""
        source = self._source
        start, end = source.span(node)
        if len(node.names) == 1:
            if statement is not None:
                moved.edits.append(Edit(source.path, start, end, statement.encode(), node.lineno))
            else:
                moved.edits.append(self._without(node))
            return
        again = [one for one in node.names if one.name == alias.name and one is not alias]
        if again:
            raise Refused(f"{source.path}:{node.lineno}: {alias.name} is imported twice at once")
        kept = [one for one in node.names if one is not alias]
        if b"(" in source.data[start:end] and b"\n" in source.data[start:end]:
            self._cut(node, alias, moved)
            if statement is not None:
                moved.edits.append(
                    Edit(source.path, end, end, self._behind(node, statement), node.lineno)
                )
            return
        names = [one.name + (f" as {one.asname}" if one.asname else "") for one in kept]
        lines = [self._head(node) + ", ".join(names), *([statement] if statement else [])]
        behind = b"".join(self._behind(node, line) for line in lines[1:])
        moved.edits.append(Edit(source.path, start, end, lines[0].encode() + behind, node.lineno))

    def _behind(self, node: Statement, statement: str) -> bytes:
        """A statement that is to follow another: on a line of its own, if that has one of its own."""
        source = self._source
        first, _ = source.line_span(node.lineno, node.lineno)
        _, last = source.line_span(node.lineno, node.end_lineno or node.lineno)
        start, end = source.span(node)
        rest = source.data[end:last].strip()
        if source.data[first:start].strip() or rest.startswith(b";"):
            return b"; " + statement.encode()
        return source.newline() + source.indent(node.lineno) + statement.encode()

    def _head(self, node: Statement) -> str:
        if isinstance(node, ast.Import):
            return "import "
        return f"from {'.' * node.level}{node.module or ''} import "

    def _cut(self, node: Statement, alias: ast.alias, moved: Moved) -> None:
        """Take a name out of parentheses over several lines, with its comma, and its line if empty."""
        _, limit = self._source.span(node)
        start, after = self._source.cut(alias, limit)
        moved.edits.append(Edit(self._source.path, start, after, b"", alias.lineno))

    def _without(self, node: Statement) -> Edit:
        """Remove a statement; a block that would be empty keeps a `pass`."""
        source = self._source
        block = self._block(node)
        start, end = source.span(node)
        around = self._parents.get(id(node))
        match around:
            case ast.If(body=[_], orelse=[], test=test) if _dotted(test).endswith("TYPE_CHECKING"):
                first, last = source.line_span(around.lineno, around.end_lineno or around.lineno)
                return Edit(source.path, first, last, b"", around.lineno)
        if block is not None and len(block) == 1:
            return Edit(source.path, start, end, b"pass", node.lineno)
        first, last = source.line_span(node.lineno, node.end_lineno or node.lineno)
        alone = not source.data[first:start].strip() and not source.data[end:last].strip()
        if alone:
            return Edit(source.path, first, last, b"", node.lineno)
        while source.data[end : end + 1] in (b" ", b";"):
            end += 1
        return Edit(source.path, start, end, b"", node.lineno)

    def _block(self, node: ast.AST) -> list[ast.stmt] | None:
        parent = self._parents.get(id(node))
        for field_name in ("body", "orelse", "finalbody"):
            block: list[ast.stmt] | None = getattr(parent, field_name, None)
            if isinstance(block, list) and any(one is node for one in block):
                return None if isinstance(parent, ast.Module) else block
        return None

    # -- import m -----------------------------------------------------------------------------

    def _import(
        self, node: ast.Import, old: tuple[str, str], new: tuple[str, str], moved: Moved
    ) -> None:
        for alias in node.names:
            if self._project.located(self._module, alias.name) == old[0]:
                self._of_module(node, alias, alias.asname or alias.name, old, new, moved)

    def _of_module(
        self, node: Statement, alias: ast.alias, bound: str, old: tuple[str, str],
        new: tuple[str, str], moved: Moved,
    ) -> None:  # fmt: skip
        """Rewrite `bound.Name` where a module was imported as `bound`."""
        scope = self._scope(node)
        uses = list(self._attributes(scope, bound))
        wanted = [one for one in uses if one.attr == old[1]]
        if not wanted:
            return
        if self._bound_again(scope, bound, alias):
            raise Refused(f"{self._module.path}:{node.lineno}: {bound} is bound a second time")
        self._no_circle(node, new[0])
        if isinstance(node, ast.Import) and alias.asname is None:
            statement, text = f"import {new[0]}", f"{new[0]}.{new[1]}"
        else:
            statement, text = f"from {new[0]} import {new[1]}", new[1]
            if not self._free(scope, new[1], new):
                raise Refused(
                    f"{self._module.path}:{node.lineno}: {new[1]} means something else here"
                )
        moved.edits += [self._source.edit(one, text.encode()) for one in wanted]
        name = new[1] if text == new[1] else ""
        there = self._already(scope, new, name, node) if name else self._imported(scope, new[0])
        bare = self._bare(scope, bound)
        if len(wanted) == len(uses) and not bare and not self._wanted_elsewhere(bound):
            self._replace(node, alias, None if there is not None else statement, moved)
        elif there is None:
            _, end = self._source.span(node)
            moved.edits.append(
                Edit(self._source.path, end, end, self._behind(node, statement), node.lineno)
            )

    def _wanted_elsewhere(self, bound: str) -> bool:
        """Another module may reach the name through this one."""
        return bound in (self._module.facts.exported or ()) or self._reached(bound)

    def _bound_again(self, scope: ast.AST, bound: str, but: ast.AST) -> bool:
        """Something in the scope gives the name another meaning."""
        top = bound.partition(".")[0]
        return (
            any(name == top for one in ast.walk(scope) if one is not but for name in _binds(one))
            and "." not in bound
        )

    def _bare(self, scope: ast.AST, bound: str) -> bool:
        """The module itself is used, not only names in it."""
        return any(
            isinstance(one, ast.Name | ast.Attribute) and _dotted(one) == bound
            and not (isinstance(parent := self._parents.get(id(one)), ast.Attribute)
                     and parent.value is one)
            for one in ast.walk(scope)
        )  # fmt: skip

    def _attributes(self, scope: ast.AST, bound: str) -> Iterator[ast.Attribute]:
        for node in ast.walk(scope):
            if isinstance(node, ast.Attribute) and _dotted(node.value) == bound:
                yield node

    # -- scopes and names ---------------------------------------------------------------------

    def _scope(self, node: ast.AST) -> ast.AST:
        parent = self._parents.get(id(node))
        while parent is not None and not isinstance(
            parent, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module
        ):
            parent = self._parents.get(id(parent))
        return parent or self._source.tree

    def _free(self, scope: ast.AST, name: str, new: tuple[str, str]) -> bool:
        """True if the name means nothing else in a scope, or that very symbol."""
        symbol = f"{new[0]}:{new[1]}"
        at_module = isinstance(scope, ast.Module)
        means_it = self._project.lookup(self._module.name, name).symbol == symbol
        if at_module and self._module.bindings(name) and not means_it:
            return False
        for one in ast.walk(scope):
            if name in _binds(one):
                if not (at_module and self._scope(one) is scope):
                    return False
            elif isinstance(one, ast.Name) and one.id == name and not means_it:
                return False  # a builtin, or what a star import gives
        return True

    def _all_renamable(self, old: tuple[str, str], new: tuple[str, str]) -> bool:
        """All imports of the old name in the file can take the new one, so that none means another's."""
        scopes = [self._scope(node) for node, alias in self._of(old) if alias.asname is None]
        return all(
            self._free(scope, new[1], new) and self._renamable(scope, old)
            and not (isinstance(scope, ast.Module) and self._reached(old[1]))
            for scope in scopes
        )  # fmt: skip

    def _of(self, old: tuple[str, str]) -> Iterator[tuple[ast.ImportFrom, ast.alias]]:
        """The file's `from` imports of a symbol."""
        for node in ast.walk(self._source.tree):
            if isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from ((node, one) for one in node.names if (base, one.name) == old)

    def _renamable(self, scope: ast.AST, old: tuple[str, str]) -> bool:
        """True if all uses of a name in its scope mean the import, and nothing looks it up by text."""
        name = old[1]
        if isinstance(scope, ast.ClassDef):
            return False  # an attribute, too
        if re.search(rf">>>.*\b{re.escape(name)}\b".encode(), self._source.data):
            return False  # a doctest runs in this file's names
        imported = {id(alias) for _, alias in self._of(old) if alias.asname is None}
        for one in ast.walk(scope):
            if name in _binds(one) and id(one) not in imported:
                return False
            match one:
                case ast.Global(names=names) | ast.Nonlocal(names=names) if name in names:
                    return False
                case ast.Name(id="exec" | "eval" | "globals" | "locals" | "vars"):
                    return False
                case ast.Constant(value=str(text)) if text == name and self._is_looked_up(one):
                    return False
        return True

    def _is_looked_up(self, node: ast.AST) -> bool:
        """A string that a type checker or `typing` takes for a type's name."""
        parent = self._parents.get(id(node))
        if isinstance(parent, ast.keyword):
            parent = self._parents.get(id(parent))
        if not isinstance(parent, ast.Call):
            return False
        return _dotted(parent.func).rpartition(".")[2] in _LOOKING_UP

    def _rename(self, scope: ast.AST, name: str, new: str) -> Iterator[Edit]:
        for one in ast.walk(scope):
            if isinstance(one, ast.Name) and one.id == name:
                yield self._source.edit(one, new.encode())
            elif (
                isinstance(one, ast.Constant) and isinstance(one.value, str)
                and self._is_annotation(one) and _word(one.value, name)
            ):  # fmt: skip
                text = self._source.text(one)
                yield self._source.edit(one, _replaced(text, name, new))

    def _is_annotation(self, node: ast.AST) -> bool:
        parent = self._parents.get(id(node))
        while isinstance(parent, ast.Subscript | ast.BinOp | ast.Tuple):
            if isinstance(parent, ast.Subscript) and parent.slice is node:
                last = _dotted(parent.value).rpartition(".")[2]
                if last == "Literal" or (last == "Annotated" and isinstance(node, ast.Tuple)):
                    return False  # values, not types
            node, parent = parent, self._parents.get(id(parent))
        if isinstance(parent, ast.arg | ast.AnnAssign):
            return parent.annotation is node
        return isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef) and parent.returns is node

    def _already(
        self, scope: ast.AST, new: tuple[str, str], name: str, but: ast.AST
    ) -> ast.AST | None:
        """An import in a scope that binds the new symbol to this name already."""
        for one in ast.walk(scope):
            if not isinstance(one, ast.ImportFrom) or one is but or self._scope(one) is not scope:
                continue
            for alias in one.names:
                if (alias.asname or alias.name) == name and self._unguarded(one, scope):
                    base = self._base(one)
                    found = self._project.lookup(base, alias.name)
                    if (base, alias.name) == new or found.symbol == f"{new[0]}:{new[1]}":
                        return one
        return None

    def _imported(self, scope: ast.AST, module: str) -> ast.AST | None:
        for one in ast.walk(scope):
            if (
                isinstance(one, ast.Import)
                and any(alias.name == module and not alias.asname for alias in one.names)
                and self._unguarded(one, scope)
            ):
                return one
        return None

    def _unguarded(self, node: ast.AST, scope: ast.AST) -> bool:
        return self._parents.get(id(node)) is scope

    def _exported(self, renamed: dict[str, str]) -> Iterator[Edit]:
        """`__all__` follows."""
        for node in self._source.tree.body:
            for one in ast.walk(node) if exports(node) else ():
                if isinstance(one, ast.Constant) and one.value in renamed:
                    text = self._source.text(one)
                    yield self._source.edit(
                        one, text.replace(one.value.encode(), renamed[one.value].encode())
                    )


def _binds(node: ast.AST) -> list[str]:
    """Names that a node itself binds, in whichever way."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
            return [name]
        case ast.arg(arg=name):
            return [name]
        case ast.alias(name=name, asname=asname):
            return [asname or name.partition(".")[0]]
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            return [name]
        case ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
            return [name]
    return []


def uses_outside(data: bytes, name: str) -> bool:
    """True if a file uses a name of its own elsewhere than in that name's definition."""
    if data.count(name.encode()) < 2:
        return False
    return any(True for _ in _outside(parse(data), name))


def _outside(tree: ast.Module, name: str) -> Iterator[ast.Name]:
    for statement in tree.body:
        if getattr(statement, "name", None) == name:
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and node.id == name:
                yield node


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _word(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(name)}\b", text) is not None


def _replaced(text: bytes, name: str, new: str) -> bytes:
    return re.sub(rf"(?<![\w.]){re.escape(name)}\b".encode(), new.encode(), text)
