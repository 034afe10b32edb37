"""A file read whole: calls, strings, returns, assignments. Only files that concern a role are.

Expressions are kept as texts ("chains"): `self.engine.run`, `make()` for what a call returns,
`items[]` for what a subscript gives, `?` for what has no name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple, cast

from ssot.index.extract import Where, children, dotted, flags, parse, signature, walk_lines
from ssot.index.facts import plain

_BROAD = frozenset({"Exception", "BaseException", "AttributeError", "TypeError"})
_QUIET = frozenset({"debug", "info", "warning", "error", "exception", "critical", "log", "print"})
_QUIET_DECORATORS = frozenset(
    {"staticmethod", "classmethod", "property", "cached_property", "setter", "abstractmethod", "override",
     "contextmanager", "asynccontextmanager", "cache", "lru_cache", "wraps", "overload", "final",
     "deprecated"}
)  # fmt: skip
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class Parameter(NamedTuple):
    """One parameter. `annotation` is a dotted name or ''; `required` without a default."""

    name: str
    annotation: str
    required: bool


class DeepFunction(NamedTuple):
    """A function or method, by its dotted name; `owner` is its class, or ''."""

    name: str
    line: int
    owner: str
    parameters: tuple[Parameter, ...]
    signature: str
    flags: str
    annotation: str
    returned: tuple[str, ...]
    """Chains of what is returned."""
    forwards: str
    """The chain that is called, if nothing else is done."""
    decorators: tuple[str, ...]
    """Chains of those that may do more than change how it is called."""


class Call(NamedTuple):
    """A call. `function`: the dotted name of the function around it, or ''; `inner`: its class."""

    line: int
    function: str
    inner: str
    chain: str
    arguments: tuple[tuple[str, str], ...]
    """(name of a keyword, or '', `*` or `**`, and chain)."""
    swallowed: bool
    """An error of it is caught by a broad handler, and only passed over or logged."""


class Assign(NamedTuple):
    """`target` (`x`, `self.x`) is bound to a chain, in a function ('' is the module or class)."""

    line: int
    function: str
    inner: str
    target: str
    value: str
    annotation: str


class Text(NamedTuple):
    """A string. `kind`: `doc`, `patch` or `string`; `callee`: whose first argument it is, or ''."""

    line: int
    function: str
    inner: str
    value: str
    kind: str
    place: str


class Use(NamedTuple):
    """An event's name in a place where it becomes a value: by which call it leaves, if by one."""

    line: int
    function: str
    inner: str
    event: str
    kind: str
    sink: str


class Collection(NamedTuple):
    """Several values under one name: an enum's members, or a list, tuple, set or dict."""

    name: str
    line: int
    items: tuple[str, ...]


Record = tuple[tuple[tuple[Any, ...], ...], ...]


class Deep:
    """All of that. `record` holds the fields of each, for `marshal`."""

    def __init__(self, record: Record) -> None:
        self.record = record

    @cached_property
    def functions(self) -> list[DeepFunction]:
        return [
            made._replace(parameters=tuple(map(Parameter._make, made.parameters)))
            for made in map(DeepFunction._make, self.record[0])
        ]

    @cached_property
    def by_name(self) -> dict[str, DeepFunction]:
        """The functions by their dotted names; of several the last."""
        return {one.name: one for one in self.functions}

    @cached_property
    def calls(self) -> list[Call]:
        return [*map(Call._make, self.record[1])]

    @cached_property
    def assigns(self) -> list[Assign]:
        return [*map(Assign._make, self.record[2])]

    @cached_property
    def texts(self) -> list[Text]:
        return [*map(Text._make, self.record[3])]

    @cached_property
    def uses(self) -> list[Use]:
        return [*map(Use._make, self.record[4])]

    @cached_property
    def collections(self) -> list[Collection]:
        return [*map(Collection._make, self.record[5])]


NOTHING = Deep(((), (), (), (), (), ()))


def read_deep(data: bytes, events: frozenset[str]) -> Deep:
    """Read a file; `events` are the names that a role's events have (snake case)."""
    try:
        tree = parse(data)
        return _DeepReader(events).read(tree)
    except (SyntaxError, RecursionError):
        return NOTHING


_DEFINING = frozenset({ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef})
_LOOKED_AT = _DEFINING | {
    ast.Module, ast.Try, ast.TryStar, ast.Call, ast.Assign, ast.AnnAssign, ast.Constant, ast.Attribute,
    ast.AugAssign, ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.NamedExpr, ast.ExceptHandler,
    ast.Nonlocal, ast.MatchAs, ast.Name,
}  # fmt: skip


def snake(name: str) -> str:
    """`AgentStarted` -> `agent_started`."""
    return _CAMEL.sub("_", name).lower()


def chain(node: ast.AST | None) -> str:
    """An expression as text; see the module."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{chain(value)}.{attr}"
        case ast.Call(func=func):
            return f"{chain(func)}()"
        case ast.Subscript(value=value):
            return f"{chain(value)}[]"
        case ast.Await(value=value) | ast.NamedExpr(value=value):
            return chain(value)
        case ast.Constant(value=str(text)) if len(text) < 200:
            return repr(text)
        case ast.Constant(value=value):
            return repr(value) if not isinstance(value, bytes) else "b''"
        case ast.BoolOp(op=ast.Or(), values=[*_, last]):
            return chain(last)
        case ast.IfExp(body=body):
            return chain(body)
    return "?"


def annotation(node: ast.AST | None) -> str:
    """The dotted name of an annotation: of `X | None`, `Optional[X]` and `"X"` it is X."""
    match node:
        case ast.Constant(value=str(text)):
            try:
                return annotation(ast.parse(text, mode="eval").body)
            except SyntaxError:
                return ""
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return (
                annotation(left) if _is_none(right) else annotation(right) if _is_none(left) else ""
            )
        case ast.Subscript(value=value, slice=inner):
            last = dotted(value).rpartition(".")[2]
            if last in ("Optional", "Annotated", "Awaitable", "Final", "ClassVar"):
                return annotation(inner.elts[0] if isinstance(inner, ast.Tuple) else inner)
            return dotted(value)
    return dotted(node)


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


class _DeepReader:
    def __init__(self, events: frozenset[str]) -> None:
        self._events = events
        self._words = {event: event.replace("_", "") for event in events}
        self.functions: list[DeepFunction] = []
        self.calls: list[Call] = []
        self.assigns: list[Assign] = []
        self.texts: list[Text] = []
        self.uses: list[Use] = []
        self.collections: list[Collection] = []
        self._line = 1
        self._docs: set[int] = set()
        self._patching: set[int] = set()
        self._swallowing: list[tuple[int, int]] = []

    def read(self, tree: ast.Module) -> Deep:
        self._tree = tree
        functions, inners = {"": ""}, {"": ""}
        for node, where, line in walk_lines(tree):
            kind = node.__class__
            if kind not in _LOOKED_AT:
                continue
            self._line = line
            scope = where.scope
            if kind in _DEFINING:
                made = cast("ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef", node)
                inside = f"{scope}.{made.name}" if scope else made.name
                is_class = kind is ast.ClassDef
                functions[inside] = functions.get(scope, "") if is_class else inside
                outer = inners.get(scope, "")
                within = where.place == "function"
                inners[inside] = inside if (is_class and not within) else outer
                self._doc(made)
            elif isinstance(node, ast.Module):
                self._doc(node)
            elif isinstance(node, ast.Try | ast.TryStar) and any(map(_swallows, node.handlers)):
                last = node.body[-1]
                self._swallowing.append((node.body[0].lineno, last.end_lineno or last.lineno))
            self._node(node, where, functions.get(scope, ""), inners.get(scope, ""))
        functions = (one._replace(parameters=plain(one.parameters)) for one in self.functions)
        return Deep(
            (
                plain(functions), plain(self.calls), plain(self.assigns), plain(self.texts),
                plain(self.uses), plain(self.collections),
            )
        )  # fmt: skip

    @cached_property
    def _parents(self) -> dict[int, ast.AST]:
        return {id(child): node for node in ast.walk(self._tree) for child in children(node)}

    def _doc(
        self, node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    ) -> None:
        match node.body:
            case [ast.Expr(value=ast.Constant(value=str()) as text), *_]:
                self._docs.add(id(text))

    def _node(self, node: ast.AST, where: Where, function: str, inner: str) -> None:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, where, inner)
            case ast.ClassDef():
                self._enum(node, where)
            case ast.Call():
                self._call(node, function, inner)
            case ast.Assign() | ast.AnnAssign():
                self._assign(node, where, function, inner)
            case ast.Name(id=name, ctx=ast.Load()) if (
                name.isupper() and name.lower() in self._events
            ):
                self._use(node, name.lower(), function, inner)
            case (
                ast.AugAssign()
                | ast.For()
                | ast.AsyncFor()
                | ast.With()
                | ast.AsyncWith()
                | ast.NamedExpr()
                | ast.ExceptHandler()
                | ast.Nonlocal()
                | ast.MatchAs()
            ):
                for name in _bound_by(node):
                    outer = (
                        function.rpartition(".")[0] if isinstance(node, ast.Nonlocal) else function
                    )
                    self.assigns.append(Assign(self._line, outer, inner, name, "?", ""))
            case ast.Constant(value=str(text)):
                self._text(node, text, where, function, inner)
            case ast.Attribute(attr=attr) if attr.lower() in self._events:
                self._use(node, attr.lower(), function, inner)

    # -- definitions -------------------------------------------------------------------------

    def _function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, where: Where, inner: str
    ) -> None:
        in_class = where.place == "class"
        letters = flags(node, in_class=in_class)
        bound = in_class and "s" not in letters
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        first = len(positional) - len(arguments.defaults)
        parameters = [
            Parameter(one.arg, annotation(one.annotation), number < first)
            for number, one in enumerate(positional)
        ][1 if bound and positional else 0 :]  # fmt: skip
        parameters += [
            Parameter(one.arg, annotation(one.annotation), default is None)
            for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        ]
        name = f"{where.scope}.{node.name}" if where.scope else node.name
        self.functions.append(
            DeepFunction(
                name, node.lineno, where.scope if in_class else "", tuple(parameters),
                signature(arguments, bound=bound), letters, annotation(node.returns),
                tuple(chain(one) for one in _returned(node)), _forwards(node),
                tuple(text for one in node.decorator_list if (text := _telling(one))),
            )
        )  # fmt: skip

    def _enum(self, node: ast.ClassDef, where: Where) -> None:
        if not any("Enum" in dotted(base) for base in node.bases) or where.place == "function":
            return
        items: list[str] = []
        for one in node.body:
            match one:
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    text = value.value if isinstance(value, ast.Constant) else None
                    items.append(text if isinstance(text, str) else name.lower())
        name = f"{where.scope}.{node.name}" if where.scope else node.name
        self.collections.append(Collection(name, node.lineno, tuple(items)))

    # -- calls and assignments ---------------------------------------------------------------

    def _call(self, node: ast.Call, function: str, inner: str) -> None:
        arguments = [
            ("*", chain(one.value)) if isinstance(one, ast.Starred) else ("", chain(one))
            for one in node.args
        ]
        arguments += [(one.arg or "**", chain(one.value)) for one in node.keywords]
        line = self._line
        swallowed = any(first <= node.lineno <= last for first, last in self._swallowing)
        text = chain(node.func)
        self.calls.append(Call(line, function, inner, text, tuple(arguments), swallowed))
        if node.args and _patches(text):
            self._patching.add(id(node.args[0]))
        last = text.rpartition(".")[2]
        named = self._named_for(last)
        if named is None:
            return
        if snake(last) in self._events and last[:1].isupper():
            self._use(node, named, function, inner)  # an event's class: it becomes a value
        else:
            self.uses.append(Use(line, function, inner, named, "wrapper", text))

    def _named_for(self, name: str) -> str | None:
        flat = snake(name).replace("_", "")
        return next((event for event, words in self._words.items() if words in flat), None)

    def _assign(
        self, node: ast.Assign | ast.AnnAssign, where: Where, function: str, inner: str
    ) -> None:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        kind = annotation(node.annotation) if isinstance(node, ast.AnnAssign) else ""
        for target in targets:
            name = dotted(target) if isinstance(target, ast.Name | ast.Attribute) else ""
            if not name:
                for one in ast.walk(target):
                    if isinstance(one, ast.Name | ast.Attribute) and isinstance(one.ctx, ast.Store):
                        self.assigns.append(
                            Assign(node.lineno, function, inner, dotted(one), "?", "")
                        )
                continue
            value = _assigned_value(node.value)
            self.assigns.append(Assign(node.lineno, function, inner, name, value, kind))
            if where.place != "function" and isinstance(target, ast.Name):
                items = tuple(_items(node.value))
                if len(items) > 1:
                    full = f"{where.scope}.{name}" if where.scope else name
                    self.collections.append(Collection(full, node.lineno, items))

    # -- strings and events ------------------------------------------------------------------

    def _text(self, node: ast.Constant, text: str, where: Where, function: str, inner: str) -> None:
        if id(node) in self._docs:
            kind = "doc"
        else:
            kind = "patch" if id(node) in self._patching else "string"
            if text in self._events:
                self._use(node, text, function, inner)
        if kind == "doc" or "." in text or "/" in text:
            line = node.lineno if kind == "doc" else self._line
            self.texts.append(Text(line, function, inner, text, kind, where.place))

    def _use(self, node: ast.AST, event: str, function: str, inner: str) -> None:  # noqa: PLR0912 - one row for each kind of syntax
        """Follow a value outwards: how it leaves."""
        child, sink, is_value = node, "", isinstance(node, ast.Call)
        while True:
            parent = self._parents.get(id(child))
            match parent:
                case ast.Call(func=func) if func is child:
                    return  # it is called itself, or a part of what is
                case ast.Attribute():
                    if not is_value:
                        if parent.attr != "value":
                            return
                case ast.Call(func=ast.Name(id="frozenset" | "set" | "tuple" | "list" | "dict")):
                    return  # a list of events
                case ast.Call():
                    text = chain(parent.func)
                    if self._named_for(text.rpartition(".")[2]) not in (None,) and not sink:
                        if snake(text.rpartition(".")[2]) not in self._events:
                            return  # the call is named for the event: a wrapper, which counts itself
                    is_value, sink = True, text
                case (
                    ast.keyword()
                    | ast.Starred()
                    | ast.Await()
                    | ast.FormattedValue()
                    | ast.JoinedStr()
                ):
                    pass
                case ast.Dict(keys=keys):
                    if any(key is child for key in keys):
                        return
                    is_value = True
                case (
                    ast.List()
                    | ast.Tuple()
                    | ast.Set()
                    | ast.IfExp()
                    | ast.BoolOp()
                    | ast.NamedExpr()
                ):
                    pass
                case ast.Yield() | ast.YieldFrom():
                    self._terminal(node, event, function, inner, sink or "yield")
                    return
                case ast.Assign(targets=[ast.Name(id=name)]) if function:
                    leaves = self._leaves(parent, name)
                    self._terminal(
                        node, event, function, inner, leaves or (sink if is_value else "")
                    )
                    return
                case ast.Lambda() if sink:
                    self._terminal(node, event, function, inner, sink)
                    return
                case ast.Expr() | ast.Return() | ast.Assign() | ast.AnnAssign() | ast.withitem():
                    if sink:
                        self._terminal(node, event, function, inner, sink)
                    elif isinstance(parent, ast.Return) and is_value:
                        self._terminal(node, event, function, inner, "return")
                    return
                case _:
                    return
            assert parent is not None
            child = parent

    def _leaves(self, assign: ast.AST, name: str) -> str:
        """The call that a variable is given to, in the same block or function."""
        around: ast.AST | None = assign
        while around is not None and not isinstance(
            around, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module
        ):
            around = self._parents.get(id(around))
        for node in ast.walk(around) if around is not None else ():
            if isinstance(node, ast.Call) and any(
                isinstance(one, ast.Name) and one.id == name
                for argument in [*node.args, *(k.value for k in node.keywords)]
                for one in ast.walk(argument)
            ):
                return chain(node.func)
        return ""

    def _terminal(self, node: ast.AST, event: str, function: str, inner: str, sink: str) -> None:
        if sink:
            self.uses.append(Use(self._line, function, inner, event, "terminal", sink))


def _assigned_value(node: ast.expr | None) -> str:
    """The chain of what is assigned; of `a if x else b` only where both say the same, or one is None."""
    if node is None:
        return ""
    if isinstance(node, ast.IfExp):
        one, other = chain(node.body), chain(node.orelse)
        return one if other in (one, "None") else other if one == "None" else "?"
    return chain(node)


def _bound_by(node: ast.AST) -> Iterator[str]:
    """Names that a statement binds to what nobody can say."""
    match node:
        case ast.AugAssign(target=target) | ast.For(target=target) | ast.AsyncFor(target=target):
            targets: list[ast.AST] = [target]
        case ast.NamedExpr(target=target):
            targets = [target]
        case ast.With(items=items) | ast.AsyncWith(items=items):
            targets = [one.optional_vars for one in items if one.optional_vars is not None]
        case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)):
            yield name
            return
        case ast.Nonlocal(names=names):
            yield from names
            return
        case _:
            return
    for target in targets:
        for one in ast.walk(target):
            if isinstance(one, ast.Name | ast.Attribute) and isinstance(one.ctx, ast.Store):
                yield dotted(one)


def _telling(decorator: ast.expr) -> str:
    text = chain(decorator.func if isinstance(decorator, ast.Call) else decorator)
    return "" if text.rpartition(".")[2] in _QUIET_DECORATORS else text


def _patches(callee: str) -> bool:
    """True if the first argument of a call is the name of what is replaced for a test."""
    last = callee.rpartition(".")[2]
    return (
        last == "patch"
        or callee.endswith(("patch.object", "patch.dict", "patch.multiple"))
        or (last in ("setattr", "delattr") and "monkeypatch" in callee)
    )


def _returned(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.expr]:
    """What a function returns, not what functions in it do."""
    waiting: list[Any] = list(node.body)
    while waiting:
        one = waiting.pop()
        if isinstance(one, ast.Return) and one.value is not None:
            yield one.value
        elif not isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for field in ("body", "orelse", "finalbody", "handlers", "cases"):
                waiting += getattr(one, field, ())


def _forwards(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    body = [one for one in node.body
            if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]  # fmt: skip
    match body:
        case [ast.Return(value=value)] | [ast.Expr(value=value)] if value is not None:
            inner = value.value if isinstance(value, ast.Await | ast.YieldFrom) else value
            return chain(inner.func) if isinstance(inner, ast.Call) else ""
        case [ast.AsyncFor(iter=ast.Call(func=func)) | ast.For(iter=ast.Call(func=func)) as loop]:
            match loop.body:
                case [ast.Expr(value=ast.Yield())]:
                    return chain(func)
    return ""


def _items(node: ast.expr | None) -> Iterator[str]:
    """The strings and names in a literal collection; of a dict its keys and values."""
    match node:
        case ast.List(elts=elts) | ast.Tuple(elts=elts) | ast.Set(elts=elts):
            found: list[ast.expr | None] = list(elts)
        case ast.Dict(keys=keys, values=values):
            found = [*keys, *values]
        case ast.Call(func=func, args=[inner]) if dotted(func) in (
            "frozenset",
            "set",
            "tuple",
            "list",
        ):
            yield from _items(inner)
            return
        case _:
            return
    for one in found:
        match one:
            case ast.Constant(value=str(text)):
                yield text
            case (
                ast.Attribute(attr="value", value=ast.Attribute(attr=attr))
                | ast.Attribute(attr=attr)
            ):
                yield attr.lower()
            case ast.Name(id=name):
                yield snake(name)


def _swallows(handler: ast.ExceptHandler) -> bool:
    names = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    broad = handler.type is None or any(dotted(name).rpartition(".")[2] in _BROAD for name in names)
    return broad and all(_says_only(one) for one in handler.body)


def _says_only(node: ast.stmt) -> bool:
    match node:
        case ast.Pass() | ast.Continue() | ast.Return(value=None | ast.Constant()):
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Expr(value=ast.Call(func=func)):
            return dotted(func).rpartition(".")[2] in _QUIET
    return False
