"""The shapes of what is known of a file. They hold texts and numbers alone, for `marshal`."""

from __future__ import annotations

import marshal
from collections.abc import Iterable
from functools import cached_property
from typing import Any, NamedTuple

VERSION = 14
"""Of the shapes and of what fills them: caches of another are thrown away."""


ClassHead = tuple[str, int, tuple[str, ...], tuple[str, ...]]
"""Name, line, bases, and the names of its methods, each once."""
RawMethod = tuple[str, int, str, str]
"""The fields of a `Method`."""
ClassDetails = tuple[tuple[RawMethod, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Methods, attributes, decorators, annotations."""


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


MODULE, LEVEL = Import._fields.index("module"), Import._fields.index("level")


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

    There are tens of thousands in a large tree, and of few of them more is asked for than the names of
    their methods: the rest is read when it is.
    """

    __slots__ = ("_facts", "_number", "bases", "line", "method_names", "name")

    def __init__(self, facts: Facts, number: int, head: ClassHead) -> None:
        self._facts, self._number = facts, number
        self.name, self.line, self.bases, self.method_names = head

    @property
    def methods(self) -> tuple[Method, ...]:
        """In the order of the text."""
        return tuple(map(Method._make, self._facts.details[self._number][0]))

    @property
    def attributes(self) -> tuple[str, ...]:
        """What its body or a method (`self.x = ...`) assigns."""
        return self._facts.details[self._number][1]

    @property
    def decorators(self) -> tuple[str, ...]:
        return self._facts.details[self._number][2]

    @property
    def annotations(self) -> tuple[str, ...]:
        """Last names of the types in its methods' and attributes' annotations."""
        return self._facts.details[self._number][3]


class Function(NamedTuple):
    """A function at module level."""

    name: str
    line: int
    signature: str
    flags: str


Record = tuple[
    tuple[int, str] | None, tuple[tuple[Any, ...], ...], tuple[ClassHead, ...], bool, bool,
    tuple[tuple[str, str], ...], str, str | None, bytes,
]  # fmt: skip
"""What `Facts` are kept as; the last is a record of its own, of what is seldom asked for."""


def record(
    *,
    error: tuple[int, str] | None = None,
    imports: Iterable[Import] = (),
    bindings: Iterable[Binding] = (),
    exported: Iterable[str] | None = None,
    dynamic: bool = False,
    serves: bool = False,
    classes: Iterable[tuple[ClassHead, ClassDetails]] = (),
    functions: Iterable[Function] = (),
    assigned: Iterable[tuple[str, str]] = (),
    read_by: str = "ast",
    newer: str | None = None,
) -> Record:
    """The record of a file; `Facts` says what each part is."""
    classes = tuple(classes)
    rest = (
        plain(bindings), None if exported is None else tuple(exported), plain(functions),
        tuple(details for _, details in classes),
    )  # fmt: skip
    heads = tuple(head for head, _ in classes)
    return (
        error, plain(imports), heads, dynamic, serves, tuple(assigned), read_by, newer,
        marshal.dumps(rest),
    )  # fmt: skip


class Facts:
    """A file, as far as it is known without asking for a role."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.error, self.raw_imports, self._heads, self.dynamic, self.serves = record[:5]
        self.assigned, self.read_by, self.newer = record[5:8]

    error: tuple[int, str] | None
    """Why there is no syntax tree: (line, message), or None."""
    raw_imports: tuple[tuple[Any, ...], ...]
    """The fields of each `Import`."""
    dynamic: bool
    """Names may come to be by a module `__getattr__` or writes to `globals()`."""
    serves: bool
    """It makes an application object that a server runs."""
    assigned: tuple[tuple[str, str], ...]
    """Names at module level that are bound to another name: (name, last part of the other)."""
    read_by: str
    """`ast`, `libcst` (a newer Python wrote it) or `lines`."""
    newer: str | None
    """The least version of Python that parses it, if this one does not and that is known."""

    @cached_property
    def imports(self) -> tuple[Import, ...]:
        """In the order of the text."""
        return tuple(map(Import._make, self.raw_imports))

    @cached_property
    def classes(self) -> tuple[Class, ...]:
        """In the order of the text."""
        return tuple(Class(self, number, head) for number, head in enumerate(self._heads))

    @cached_property
    def _rest(self) -> tuple[Any, ...]:
        return marshal.loads(self.record[8])

    @property
    def raw_bindings(self) -> tuple[tuple[Any, ...], ...]:
        """The fields of each `Binding`: names at module level, in the order of the text."""
        return self._rest[0]

    @property
    def bindings(self) -> tuple[Binding, ...]:
        """The same with names."""
        return tuple(map(Binding._make, self._rest[0]))

    @property
    def exported(self) -> tuple[str, ...] | None:
        """`__all__`, as far as it is written out; `*` among the names: there are more."""
        return self._rest[1]

    @property
    def function_names(self) -> tuple[str, ...]:
        return tuple(one[0] for one in self._rest[2])

    @property
    def functions(self) -> tuple[Function, ...]:
        """In the order of the text."""
        return tuple(map(Function._make, self._rest[2]))

    @property
    def details(self) -> tuple[ClassDetails, ...]:
        """Of each class."""
        return self._rest[3]


def plain(rows: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
    """The same rows without their names."""
    return tuple(map(tuple, rows))
