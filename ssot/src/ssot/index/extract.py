"""From a file's bytes to its facts. Nothing of the file is executed or imported.

Millions of lines go through here: only statements are visited, and of functions only those with an
import in them; expressions are looked at where a name can be bound.
"""

from __future__ import annotations

import ast
import bisect
import re
import warnings
from collections.abc import Collection, Iterator
from itertools import accumulate
from typing import Any, cast

from ssot.index.facts import (
    Binding,
    ClassDetails,
    ClassHead,
    Facts,
    Function,
    Import,
    RawMethod,
    record,
)
from ssot.index.newer import read_lines

_IMPORT = re.compile(rb"^[^\n#]*\bimport\b", re.MULTILINE)
_ATTRIBUTE = re.compile(rb"\bself\.(\w+)(?=\s*(?:,\s*(?:self\.)?\w+\s*)*(?::[^=\n]*)?=[^=])")
_DYNAMIC = (b"exec(", b"sys.modules[__name__]", b"vars()[", b"locals()[", b"setattr(sys.modules")
"""By these, too, a module may get names that no statement binds."""
_REMADE = re.compile(rb"\b\w*(?:module|lazy|attach)\w*\(\s*(?:#[^\n]*\s+)?__name__")
"""A function that makes a module anew, or its names when they are asked for, is told which."""
_SERVED = frozenset(
    {"FastAPI", "Flask", "Starlette", "Quart", "Sanic", "Litestar", "Celery", "Bottle",
     "get_asgi_application", "get_wsgi_application"}
)  # fmt: skip
"""Whoever calls one of these at module level makes what a server is told to run."""
_WRITTEN_OUT = (
    ast.List, ast.Tuple, ast.Set, ast.Constant, ast.BinOp, ast.Add, ast.Load, ast.Starred,
)  # fmt: skip
"""Of what an `__all__` is made whose names are all to be seen."""
_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})

Defined = ast.FunctionDef | ast.AsyncFunctionDef


def parse(data: bytes) -> ast.Module:
    """The syntax tree. Raises `SyntaxError`, with whatever is wrong in its message."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(data)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(str(error) or type(error).__name__) from error


def extract(data: bytes) -> Facts:
    """Read a file."""
    try:
        tree = parse(data)
    except SyntaxError as error:
        return read_lines(data, (error.lineno or 1, error.msg or "it cannot be parsed"))
    try:
        return _Reader(data).read(tree)
    except RecursionError:
        return read_lines(data, (1, "it is nested too deeply"))


def dotted(node: ast.AST | None) -> str:
    """`a.b.c` of a chain of names; '' for anything else. A subscript (`Base[int]`) counts for its value."""
    parts: list[str] = []
    while True:
        if isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        elif isinstance(node, ast.Name):
            parts.append(node.id)
            return ".".join(reversed(parts))
        elif isinstance(node, ast.Subscript) and not parts:
            node = node.value
        else:
            return ""


def signature(arguments: ast.arguments, *, bound: bool) -> str:
    """Parameters as text: `prompt, history=, *, limit=`; without the one that a call fills in."""
    given = [*arguments.posonlyargs, *arguments.args]
    first = len(given) - len(arguments.defaults)
    names = [
        one.arg + ("=" if number >= first else "") for number, one in enumerate(given)
    ][1 if bound and given else 0 :]  # fmt: skip
    if arguments.vararg is not None:
        names.append("*" + arguments.vararg.arg)
    elif arguments.kwonlyargs:
        names.append("*")
    names += [
        one.arg + ("" if default is None else "=")
        for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg is not None:
        names.append("**" + arguments.kwarg.arg)
    return ", ".join(names)


def trivial(body: list[ast.stmt]) -> bool:
    """True if nothing is executed: `...`, `pass`, a docstring, `raise NotImplementedError`."""
    for statement in body:
        match statement:
            case ast.Pass():
                continue
            case ast.Expr(value=ast.Constant()):
                continue
            case ast.Raise(exc=ast.Name(id="NotImplementedError")):
                continue
            case ast.Raise(exc=ast.Call(func=ast.Name(id="NotImplementedError"))):
                continue
        return False
    return True


def flags(node: Defined, *, in_class: bool) -> str:
    """The letters of `Method` that hold."""
    found = "a" if isinstance(node, ast.AsyncFunctionDef) else ""
    if in_class:
        for decorator in node.decorator_list:
            name = dotted(decorator.func if isinstance(decorator, ast.Call) else decorator)
            last = name.rpartition(".")[2]
            found += {"staticmethod": "s", "classmethod": "c", "property": "p",
                      "cached_property": "p", "setter": "p", "abstractmethod": "b"}.get(last, "")  # fmt: skip
    return found + ("t" if trivial(node.body) else "")


class Where:
    """Where a statement stands: `place`, `scope` (dotted names around it), what guards it."""

    __slots__ = ("guard", "handler", "place", "scope", "type_checking")

    def __init__(
        self, place: str, scope: str, guard: str | None = None, *,
        type_checking: bool = False, handler: bool = False,
    ) -> None:  # fmt: skip
        self.place, self.scope, self.guard = place, scope, guard
        self.type_checking, self.handler = type_checking, handler

    def but(self, **changes: object) -> Where:
        values = {name: changes.get(name, getattr(self, name)) for name in self.__slots__}
        return Where(**values)  # type: ignore[arg-type]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts = list(accumulate(map(len, data.splitlines(keepends=True)), initial=0))
        self._import_lines = [self._line(one.start()) for one in _IMPORT.finditer(data)]
        self._dynamic_lines = [
            self._line(one.start()) for one in re.finditer(rb"\bglobals\(\)|\bglobal\b", data)
        ]
        self.imports: list[Import] = []
        self.bindings: list[Binding] = []
        self.exported: list[str] | None = None
        self.dynamic = False
        self.classes: list[tuple[ClassHead, ClassDetails]] = []
        self.functions: list[Function] = []
        self._spans: list[tuple[int, int, int]] = []

    def _line(self, offset: int) -> int:
        return bisect.bisect_right(self._starts, offset)

    def read(self, tree: ast.Module) -> Facts:
        self._body(tree.body, Where("module", ""))
        if b":=" in self._data:
            self._walruses(tree)
        if b"import_module" in self._data or b"__import__" in self._data:
            self._by_call(tree)
        if (
            any(text in self._data for text in _DYNAMIC)
            or _REMADE.search(self._data)
            or any(binding.name == "__getattr__" for binding in self.bindings)
        ):
            self.dynamic = True
        attributes = self._attributes()
        return Facts(
            record(
                imports=self.imports,
                bindings=self.bindings,
                exported=self.exported,
                dynamic=self.dynamic,
                serves=any(
                    one.kind == "call" and str(one.value).rpartition(".")[2] in _SERVED
                    for one in self.bindings
                ),
                classes=(
                    (head, (methods, (*names, *sorted(attributes.get(n, ()))), decorators, notes))
                    for n, (head, (methods, names, decorators, notes)) in enumerate(self.classes)
                ),
                functions=self.functions,
                assigned=(
                    (one.name, str(one.value).rpartition(".")[2])
                    for one in self.bindings
                    if one.kind == "assign" and one.value
                ),
            )
        )

    def _attributes(self) -> dict[int, set[str]]:
        found: dict[int, set[str]] = {}
        if self._spans:
            for one in _ATTRIBUTE.finditer(self._data):
                line = self._line(one.start())
                inside = [span for span in self._spans if span[0] <= line <= span[1]]
                if inside:
                    found.setdefault(inside[-1][2], set()).add(one[1].decode())
        return found

    # -- statements --------------------------------------------------------------------------

    def _body(self, body: list[ast.stmt], context: Where) -> None:
        for statement in body:
            self._statement(statement, context)

    def _statement(self, node: ast.stmt, context: Where) -> None:  # noqa: PLR0912
        at_module = context.place == "module"
        match node:
            case ast.Import() | ast.ImportFrom():
                self._import(node, context)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, context)
            case ast.ClassDef():
                self._class(node, context)
            case ast.If():
                checked = checking(node.test, self._checking_names())
                inner = context.but(type_checking=True)
                self._body(node.body, inner if checked == "body" else context)
                self._body(node.orelse, inner if checked == "orelse" else context)
            case ast.Try() | ast.TryStar():
                self._try(node, context)
            case ast.With() | ast.AsyncWith() | ast.For() | ast.AsyncFor() | ast.While():
                if at_module:
                    self._bind_targets(node)
                self._body(node.body, context)
                self._body(getattr(node, "orelse", []), context)
            case ast.Match():
                for case in node.cases:
                    if at_module:
                        self._bind_pattern(case.pattern)
                    self._body(case.body, context)
            case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
                if at_module:
                    self._assign(node, context)
            case ast.Expr(value=ast.Call() as call) if at_module:
                self._call(call)
            case ast.Global() if context.place == "function":
                self.bindings += [Binding(name, node.lineno, "other", "", False)
                                  for name in node.names]  # fmt: skip

    def _checking_names(self) -> set[str]:
        """What TYPE_CHECKING is called here."""
        renamed = {
            one.as_name for one in self.imports if one.name == "TYPE_CHECKING" and one.as_name
        }
        return {"TYPE_CHECKING", *renamed}

    def _bind_pattern(self, pattern: ast.pattern) -> None:
        for one in ast.walk(pattern):
            name = (
                getattr(one, "rest", None)
                if isinstance(one, ast.MatchMapping)
                else getattr(one, "name", None)
            )
            if isinstance(name, str):
                self.bindings.append(Binding(name, pattern.lineno, "other", "", False))

    def _walruses(self, tree: ast.Module) -> None:
        for node, where in walk_scopes(tree):
            if isinstance(node, ast.NamedExpr) and where.place == "module":
                self.bindings.append(Binding(node.target.id, node.lineno, "other", "", False))

    def _import(self, node: ast.Import | ast.ImportFrom, context: Where) -> None:
        shared = (context.guard, context.type_checking, context.scope, context.handler)
        guard, checking, scope, handler = shared
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                module, level = node.module or "", node.level
                kind = "star" if alias.name == "*" else "from"
                name: str | None = alias.name
                bound = alias.asname or alias.name
            else:
                module, level, kind, name = alias.name, 0, "import", None
                bound = alias.asname or alias.name.partition(".")[0]
            self.imports.append(
                Import(
                    node.lineno,
                    kind,
                    module,
                    name,
                    alias.asname,
                    level,
                    context.place,
                    guard,
                    checking,
                    scope,
                    handler,
                )
            )
            if context.place == "module" and kind != "star":
                number = len(self.imports) - 1
                self.bindings.append(Binding(bound, node.lineno, "import", number, handler))

    def _function(self, node: Defined, context: Where) -> None:
        if context.place == "module":
            self.bindings.append(Binding(node.name, node.lineno, "def", "", context.handler))
            self.functions.append(
                Function(
                    node.name,
                    node.lineno,
                    signature(node.args, bound=False),
                    flags(node, in_class=False),
                )
            )
        end = node.end_lineno or node.lineno
        if _any_between(self._import_lines, node.lineno, end) or _any_between(
            self._dynamic_lines, node.lineno, end
        ):
            scope = f"{context.scope}.{node.name}" if context.scope else node.name
            self._body(node.body, context.but(place="function", scope=scope, guard=None))
            if b"globals()" in self._data:
                self._writes_globals(node)

    def _writes_globals(self, node: ast.AST) -> None:
        for one in ast.walk(node):
            match one:
                case ast.Assign(
                    targets=[ast.Subscript(value=ast.Call(func=ast.Name(id="globals")))]
                ):
                    self.dynamic = True
                case ast.Call(
                    func=ast.Attribute(value=ast.Call(func=ast.Name(id="globals")), attr="update")
                ):
                    self.dynamic = True

    def _class(self, node: ast.ClassDef, context: Where) -> None:
        if context.place == "module":
            self.bindings.append(Binding(node.name, node.lineno, "class", "", context.handler))
        scope = f"{context.scope}.{node.name}" if context.scope else node.name
        if context.place != "function":
            methods: list[RawMethod] = []
            attributes: list[str] = []
            self._members(node.body, methods, attributes)
            self._spans.append((node.lineno, node.end_lineno or node.lineno, len(self.classes)))
            names = tuple(dict.fromkeys(one[0] for one in methods))
            bases = tuple(filter(None, (dotted(base) for base in node.bases)))
            decorators = tuple(filter(None, (_decorator(one) for one in node.decorator_list)))
            details = (tuple(methods), tuple(dict.fromkeys(attributes)), decorators, _noted(node))
            self.classes.append(((scope, node.lineno, bases, names), details))
        place = "class" if context.place != "function" else "function"
        self._body(node.body, context.but(place=place, scope=scope))

    @staticmethod
    def _members(body: list[ast.stmt], methods: list[RawMethod], attributes: list[str]) -> None:
        for one in body:
            match one:
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    found = flags(one, in_class=True)
                    text = signature(one.args, bound="s" not in found)
                    methods.append((one.name, one.lineno, text, found))
                case ast.Assign():
                    attributes += [t.id for t in one.targets if isinstance(t, ast.Name)]
                case ast.AnnAssign(target=ast.Name(id=name)):
                    attributes.append(name)
                case ast.If():
                    _Reader._members(one.body, methods, attributes)
                    _Reader._members(one.orelse, methods, attributes)

    def _try(self, node: ast.Try | ast.TryStar, context: Where) -> None:
        self._body(node.body, context.but(guard=guard_of(node, context.guard)))
        for handler in node.handlers:
            fallback = _catches_imports(handler.type)
            self._body(handler.body, context.but(handler=context.handler or fallback))
        self._body(node.orelse, context)
        self._body(node.finalbody, context)

    def _by_call(self, tree: ast.Module) -> None:
        calls = re.finditer(rb"import_module|__import__", self._data)
        for node, where, line in walk_lines(tree, [self._line(one.start()) for one in calls]):
            if not isinstance(node, ast.Call):
                continue
            if dotted(node.func).rpartition(".")[2] not in ("import_module", "__import__"):
                continue
            match node.args:
                case [ast.Constant(value=str(name)), *rest] if re.fullmatch(r"\.*\w[\w.]*", name):
                    level = len(name) - len(name.lstrip("."))
                    match rest:
                        case [ast.Constant(value=str(package))] if level == 1:
                            name, level = f"{package}{name}", 0
                        case [ast.Name(id="__package__")] if level:
                            pass
                        case [_] if level:
                            continue  # of which package is known only when it runs
                    self.imports.append(
                        Import(
                            line,
                            "importlib",
                            name.lstrip("."),
                            None,
                            None,
                            level,
                            where.place,
                            where.guard,
                            where.type_checking,
                            where.scope,
                            where.handler,
                        )
                    )

    # -- names -------------------------------------------------------------------------------

    def _assign(self, node: ast.Assign | ast.AnnAssign | ast.AugAssign, context: Where) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        value = node.value
        for target in targets:
            if isinstance(target, ast.Name):
                if target.id == "__all__":
                    self._export(value, more=isinstance(node, ast.AugAssign))
                kind = "call" if isinstance(value, ast.Call) else "assign"
                text = dotted(value.func) if isinstance(value, ast.Call) else dotted(value)
                if isinstance(value, ast.Subscript) or isinstance(node, ast.AugAssign):
                    kind, text = "assign", ""
                if value is None:
                    kind = "declared"
                self.bindings.append(Binding(target.id, node.lineno, kind, text, context.handler))
            elif isinstance(target, ast.Tuple | ast.List):
                self._bind_names(target)
            elif dotted(target) == "" and isinstance(target, ast.Subscript):
                match target.value:
                    case ast.Call(func=ast.Name(id="globals")):
                        self.dynamic = True

    def _export(self, value: ast.expr | None, *, more: bool) -> None:
        names = [
            one.value for items in (ast.walk(value) if value is not None else ())
            if isinstance(items, ast.List | ast.Tuple | ast.Set) for one in items.elts
            if isinstance(one, ast.Constant) and isinstance(one.value, str)
        ]  # fmt: skip
        if value is not None and not all(isinstance(one, _WRITTEN_OUT) for one in ast.walk(value)):
            names.append("*")
        self.exported = [*(self.exported or []), *names] if more else names

    def _call(self, call: ast.Call) -> None:
        name = dotted(call.func)
        if name in ("__all__.extend", "__all__.append") and call.args:
            first = call.args[0]
            more = ast.List([first], ast.Load()) if name.endswith("append") else first
            self._export(more, more=True)
        match call.func:
            case ast.Attribute(value=ast.Call(func=ast.Name(id="globals")), attr="update"):
                self.dynamic = True

    def _bind_targets(self, node: ast.stmt) -> None:
        if isinstance(node, ast.For | ast.AsyncFor):
            self._bind_names(node.target)
            if b"globals()" in self._data:
                self._writes_globals(node)
        elif isinstance(node, ast.With | ast.AsyncWith):
            for item in node.items:
                if item.optional_vars is not None:
                    self._bind_names(item.optional_vars)

    def _bind_names(self, target: ast.expr) -> None:
        for one in ast.walk(target):
            if isinstance(one, ast.Name):
                self.bindings.append(Binding(one.id, one.lineno, "other", "", False))


def walk_scopes(
    tree: ast.Module, lines: list[int] | None = None
) -> Iterator[tuple[ast.AST, Where]]:
    """Every node with where it stands, in the order of the text; of statements with these lines."""
    return ((node, where) for node, where, _ in walk_lines(tree, lines))


def walk_lines(
    tree: ast.Module, lines: list[int] | None = None
) -> Iterator[tuple[ast.AST, Where, int]]:
    """The same, also with the first line of the statement."""
    stack: list[tuple[ast.AST, Where, int]] = [(tree, Where("module", ""), 1)]
    while stack:
        node, where, line = stack.pop()
        if isinstance(node, ast.stmt | ast.ExceptHandler):
            line = node.lineno
        if (
            lines is not None
            and isinstance(node, ast.stmt)
            and not _any_between(lines, node.lineno, node.end_lineno or node.lineno)
        ):
            continue
        yield node, where, line
        if isinstance(node, _OPENING):
            stack.extend([(*one, line) for one in reversed(list(_below(node, where)))])
        else:
            stack.extend([(one, where, line) for one in reversed(children(node))])


_OPENING = (
    ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.If, ast.Try, ast.TryStar,
)  # fmt: skip
_PLAIN = frozenset(
    {
        "ctx",
        "op",
        "ops",
        "id",
        "attr",
        "arg",
        "kind",
        "type_comment",
        "level",
        "module",
        "conversion",
    }
)
"""Fields in which no node stands that anybody looks for."""
_FIELDS: dict[type, tuple[str, ...]] = {}


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right beneath one, in order, but for operators and contexts; quicker than `ast`'s."""
    fields = _FIELDS.get(node.__class__)
    if fields is None:
        fields = tuple(name for name in node._fields if name not in _PLAIN)
        _FIELDS[node.__class__] = fields
    found: list[ast.AST] = []
    for name in fields:
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [one for one in cast("list[Any]", value) if isinstance(one, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def _below(node: ast.AST, where: Where) -> Iterator[tuple[ast.AST, Where]]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            scope = f"{where.scope}.{node.name}" if where.scope else node.name
            inside = "class" if isinstance(node, ast.ClassDef) else "function"
            place = inside if where.place != "function" else "function"
            inner = where.but(
                place=place, scope=scope, guard=where.guard if place == "class" else None
            )
            for field, value in ast.iter_fields(node):
                parts = cast("list[Any]", value) if isinstance(value, list) else [value]
                for one in parts:
                    if isinstance(one, ast.AST):
                        yield one, inner if field == "body" else where
        case ast.If() if (checked := checking(node.test, {"TYPE_CHECKING"})) is not None:
            yield node.test, where
            inner = where.but(type_checking=True)
            yield from ((one, inner if checked == "body" else where) for one in node.body)
            yield from ((one, inner if checked == "orelse" else where) for one in node.orelse)
        case ast.Try() | ast.TryStar():
            yield from ((one, where.but(guard=guard_of(node, where.guard))) for one in node.body)
            for handler in node.handlers:
                fallback = where.handler or _catches_imports(handler.type)
                yield from ((one, where.but(handler=fallback)) for one in handler.body)
            yield from ((one, where) for one in [*node.orelse, *node.finalbody])
        case _:
            yield from ((one, where) for one in children(node))


def checking(test: ast.expr, names: Collection[str]) -> str | None:
    """Which part of an `if` only type checkers read: `body`, `orelse`, or None."""
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return "orelse" if checking(operand, names) == "body" else None
        case ast.BoolOp(op=ast.And(), values=values):
            return "body" if any(checking(one, names) == "body" for one in values) else None
    return "body" if dotted(test).rpartition(".")[2] in names else None


def guard_of(node: ast.Try | ast.TryStar, around: str | None) -> str | None:
    """How an import in the body is guarded: `import_error`, `other`, or as around it."""
    if around == "import_error" or any(_catches_imports(one.type) for one in node.handlers):
        return "import_error"
    return "other"


def _any_between(lines: list[int], first: int, last: int) -> bool:
    at = bisect.bisect_left(lines, first)
    return at < len(lines) and lines[at] <= last


def _decorator(node: ast.expr) -> str:
    return dotted(node.func if isinstance(node, ast.Call) else node)


def _noted(node: ast.ClassDef) -> tuple[str, ...]:
    """Last names of the types in the annotations of a class's methods and attributes, sorted."""
    found: set[str] = set()
    for one in node.body:
        match one:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                given = one.args
                every = (*given.posonlyargs, *given.args, *given.kwonlyargs)
                found.update(_type_name(each.annotation) for each in every if each.annotation)
                if one.returns is not None:
                    found.add(_type_name(one.returns))
            case ast.AnnAssign():
                found.add(_type_name(one.annotation))
    found.discard("")
    return tuple(sorted(found))


def _type_name(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rpartition(".")[2] if node.value.replace(".", "").isidentifier() else ""
    return dotted(node).rpartition(".")[2]


def _catches_imports(node: ast.expr | None) -> bool:
    if node is None:
        return True
    names = node.elts if isinstance(node, ast.Tuple) else [node]
    return any(dotted(name).rpartition(".")[2] in _IMPORT_ERRORS for name in names)
