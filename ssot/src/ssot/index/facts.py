"""The shapes of what is known of a file. They hold texts and numbers alone, for `marshal`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

VERSION = 6
"""Of the shapes and of what fills them: caches of another are thrown away."""


RawMethod = tuple[str, int, str, str]
"""The fields of a `Method`, or of a `Function`."""
RawBinding = tuple[str, int, str, str | int, bool]
"""The fields of a `Binding`."""


class Import(NamedTuple):
    """One name that an import statement binds.

    `kind`: `from`, `import` or `star`; `level` counts the dots of a relative one; `place`:
    `module`, `class` or `function`; `guard`: None, `import_error` (a handler catches it) or `other`.
    """

    line: int
    kind: str
    module: str
    name: str | None
    as_name: str | None
    level: int
    place: str
    guard: str | None
    type_checking: bool
    scope: str
    handler: bool
    """It stands in a handler of ImportError: a fallback."""


class Binding(NamedTuple):
    """What a module-level name is bound to.

    `kind`: `class`, `def`, `import`, `assign`, `call` (what a call returned), `declared` (only
    annotated), `other`. `value`: the dotted name on the right side, or that was called, or ''; of an
    import its number.
    """

    name: str
    line: int
    kind: str
    value: str | int
    fallback: bool


class Method(NamedTuple):
    """A method: `signature` is its parameters as text; `flags` are the letters that hold.

    a: async, s: static, c: class method, p: property, t: nothing is executed in it, b: abstract.
    """

    name: str
    line: int
    signature: str
    flags: str


class Class:
    """A class at module level, or in one (dotted name).

    There are tens of thousands in a large tree, and of few of them more than the names of their
    methods is asked for: `raw` methods become `Method`s when they are.
    """

    __slots__ = ("_methods", "attributes", "bases", "decorators", "line", "name", "raw")

    def __init__(
        self, name: str, line: int, bases: tuple[str, ...], decorators: tuple[str, ...],
        raw: tuple[RawMethod, ...], attributes: tuple[str, ...],
    ) -> None:  # fmt: skip
        self.name, self.line, self.bases, self.decorators = name, line, bases, decorators
        self.raw, self.attributes = raw, attributes
        self._methods: tuple[Method, ...] | None = None

    @property
    def methods(self) -> tuple[Method, ...]:
        """In the order of the text."""
        if self._methods is None:
            self._methods = tuple(map(Method._make, self.raw))
        return self._methods

    @property
    def method_names(self) -> set[str]:
        return {one[0] for one in self.raw}


class Function(NamedTuple):
    """A function at module level."""

    name: str
    line: int
    signature: str
    flags: str


class Facts(NamedTuple):
    """A file. `error`: why there is no syntax tree, (line, message), or None."""

    lines: int
    error: tuple[int, str] | None
    imports: tuple[Import, ...]
    raw_bindings: tuple[RawBinding, ...]
    exported: tuple[str, ...] | None
    """`__all__`, as far as it is written out."""
    dynamic: bool
    """Names may come to be by a module `__getattr__` or writes to `globals()`."""
    classes: tuple[Class, ...]
    raw_functions: tuple[RawMethod, ...]
    dotted: tuple[str, ...]
    """Strings that look like dotted names."""
    read_by: str
    """`ast`, `libcst` (a newer Python wrote it) or `lines`."""
    newer: str | None
    """The least version of Python that parses it, if this one does not and that is known."""

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """In the order of the text; of most files nobody asks for them."""
        return tuple(map(Binding._make, self.raw_bindings))

    @property
    def functions(self) -> tuple[Function, ...]:
        """In the order of the text."""
        return tuple(map(Function._make, self.raw_functions))


def plain(rows: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The same rows without their names."""
    return tuple(map(tuple, rows))


def pack(facts: Facts) -> tuple[object, ...]:
    """Plain tuples of the same."""
    return (
        facts.lines, facts.error, plain(facts.imports),
        facts.raw_bindings, facts.exported, facts.dynamic,
        tuple(
            (one.name, one.line, one.bases, one.decorators, one.raw, one.attributes)
            for one in facts.classes
        ),
        facts.raw_functions, facts.dotted, facts.read_by, facts.newer,
    )  # fmt: skip


def unpack(raw: tuple[Any, ...]) -> Facts:
    """The facts that `pack` made plain."""
    (
        lines,
        error,
        imports,
        bindings,
        exported,
        dynamic,
        classes,
        functions,
        dotted,
        read_by,
        newer,
    ) = raw
    return Facts(
        lines,
        error,
        tuple(map(Import._make, imports)),
        bindings,
        exported,
        dynamic,
        tuple(Class(*one) for one in classes),
        functions,
        dotted,
        read_by,
        newer,
    )
