"""Files that this interpreter cannot parse: read with libcst if they are only newer, else by lines.

libcst's parser can be made to crash, so it works in a process of its own: whatever a file does to it,
that file is read by lines, and the others go on.
"""

from __future__ import annotations

import marshal
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ssot.index.facts import Binding, Facts, Import, record

try:
    import resource
except ImportError:  # not everywhere
    resource = None

_STATEMENT = re.compile(
    rb"^(?P<indent>[ \t]*)(?:from[ \t]+(?P<dots>\.*)(?P<module>[\w.]*)[ \t]+import[ \t]+"
    rb"(?:\((?P<block>[^)]*)\)|(?P<names>[^\n#;]+))|import[ \t]+(?P<modules>[^\n#;]+))",
    re.MULTILINE,
)
_DEFINED = re.compile(rb"^(?:async[ \t]+)?(?P<kind>def|class)[ \t]+(?P<name>\w+)", re.MULTILINE)
_SECONDS = 10
"""For one file, and how much memory: a parser that goes astray ends with its process."""
_BYTES = 2 * 1024**3
_NOT_NEWER = (
    "MemoryError", "Parser stack overflowed", "maximum recursion", "too many nested",
    "source code string cannot contain null", "it is nested too deeply", "the parser crashes",
    "(unicode error)", "encoding problem",
)  # fmt: skip
"""Begins of messages of files that are nothing new, only too much."""
Found = tuple[str, list[tuple[int, str, str, str | None, str | None, int, bool]]]
"""The least version, and imports: line, kind, module, name, as, level, at module level."""


def read_lines(data: bytes, error: tuple[int, str]) -> Facts:
    """What can be known of a file without a syntax tree."""
    imports: list[Import] = []
    for found in _STATEMENT.finditer(data):
        line = data.count(b"\n", 0, found.start()) + 1
        place = "function" if found["indent"] else "module"
        for module, name, as_name in _names(found):
            kind = "import" if name is None else "star" if name == "*" else "from"
            level = len(found["dots"] or b"")
            imports.append(
                Import(line, kind, module, name, as_name, level, place, None, False, "", False)
            )
    return _facts(data, error, imports, "lines", None)


def _facts(
    data: bytes, error: tuple[int, str], imports: list[Import], read_by: str, newer: str | None
) -> Facts:
    bindings: list[Binding] = []
    for number, one in enumerate(imports):
        if one.place == "module" and one.kind != "star":
            bound = one.as_name or one.name or one.module.partition(".")[0]
            bindings.append(Binding(bound, one.line, "import", number, False))
    for found in _DEFINED.finditer(data):
        line = data.count(b"\n", 0, found.start()) + 1
        kind = "class" if found["kind"] == b"class" else "def"
        bindings.append(Binding(found["name"].decode(errors="replace"), line, kind, "", False))
    return Facts(
        record(
            error=error, imports=imports, bindings=bindings, dynamic=True, read_by=read_by, newer=newer,
        )
    )  # fmt: skip


def _names(found: re.Match[bytes]) -> list[tuple[str, str | None, str | None]]:
    text = found["block"] or found["names"] or found["modules"] or b""
    result: list[tuple[str, str | None, str | None]] = []
    for part in re.sub(rb"#[^\n]*", b"", text).decode(errors="replace").split(","):
        words = part.split()
        if not words or not re.fullmatch(r"[\w.]+|\*", words[0]):
            continue
        as_name = words[2] if len(words) == 3 and words[1] == "as" else None
        if found["modules"] is not None:
            result.append((words[0], None, as_name))
        else:
            result.append(((found["module"] or b"").decode(errors="replace"), words[0], as_name))
    return result


# -- with libcst, elsewhere -----------------------------------------------------------------------


def reread(files: Mapping[str, tuple[bytes, Facts]]) -> dict[str, Facts]:
    """Read files (by whatever key) that could not be parsed once more; those that are newer."""
    waiting = {
        key: (data, facts) for key, (data, facts) in files.items()
        if facts.error is None or not facts.error[1].startswith(_NOT_NEWER)
    }  # fmt: skip
    result: dict[str, Facts] = {}
    while waiting:
        answers = _ask([(key, data) for key, (data, _) in waiting.items()])
        for key, found in answers:
            data, facts = waiting.pop(key)
            if found is not None and facts.error is not None:
                version, listed = found
                imports = [
                    Import(line, kind, module, name, as_name, level,
                           "module" if outside else "function", None, False, "", False)
                    for line, kind, module, name, as_name, level, outside in listed
                ]  # fmt: skip
                result[key] = _facts(data, facts.error, imports, "libcst", version)
        if waiting:  # the first that is left has no answer: it was too much for the parser
            del waiting[next(iter(waiting))]
    return result


def _ask(files: list[tuple[str, bytes]]) -> list[tuple[str, Found | None]]:
    out = subprocess.run(
        [sys.executable, "-m", "ssot.index.newer"], input=marshal.dumps(files),
        capture_output=True, check=False,
    ).stdout  # fmt: skip
    answers: list[tuple[str, Found | None]] = []
    while len(out) >= 8:
        size = int.from_bytes(out[:8], "big")
        if len(out) < 8 + size:
            break
        answers.append(marshal.loads(out[8 : 8 + size]))
        out = out[8 + size :]
    return answers


def main() -> None:
    """Answer one file after the other, so that those before a crash are known."""
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_AS, (_BYTES, _BYTES))
    for key, data in marshal.loads(sys.stdin.buffer.read()):
        if hasattr(signal, "alarm"):
            signal.alarm(_SECONDS)
        answer = marshal.dumps((key, _read(data)))
        sys.stdout.buffer.write(len(answer).to_bytes(8, "big") + answer)
        sys.stdout.buffer.flush()


def _read(data: bytes) -> Found | None:
    import libcst as cst
    from libcst.metadata import MetadataWrapper, PositionProvider

    try:
        wrapper = MetadataWrapper(cst.parse_module(data), unsafe_skip_copy=True)
        lines = wrapper.resolve(PositionProvider)
    except Exception:  # its parser meets anything here
        return None
    versions: set[str] = set()
    imports: list[tuple[int, str, str, str | None, str | None, int, bool]] = []
    for node, outside in _walk(wrapper.module, True):
        name = type(node).__name__
        versions.add(_since(cst, wrapper.module, node, name))
        if name in ("Import", "ImportFrom"):
            line = lines[node].start.line
            imports += [(line, *one, outside) for one in _imported(cst, node)]
    # What this parser takes, and nothing in it is known to be new, no Python may take.
    newest = max(
        versions, key=lambda version: [int(part or 0) for part in version.split(".")], default=""
    )
    return (newest, imports) if newest else None


def _since(cst: Any, module: Any, node: Any, name: str) -> str:
    """The version that brought a node's syntax, if that is newer than this interpreter may be; or ''."""
    match name:
        case "TypeAlias" | "TypeParameters":
            return "3.12"
        case "TypeParam" if getattr(node, "default", None) is not None:
            return "3.13"
        case "FormattedStringExpression":
            inner = module.code_for_node(node.expression)
            return "3.12" if any(mark in inner for mark in ("\\", "#", "\n", '"', "'")) else ""
        case "ExceptHandler" | "ExceptStarHandler":
            kinds = node.type
            bare = isinstance(kinds, cst.Tuple) and not kinds.lpar
            return "3.14" if bare and node.name is None else ""
        case _:
            return "3.14" if name.startswith("TemplatedString") else ""


def _walk(node: Any, outside: bool) -> Iterator[tuple[Any, bool]]:
    stack = [(node, outside)]
    while stack:
        one, where = stack.pop()
        yield one, where
        inner = where and type(one).__name__ not in ("FunctionDef", "ClassDef", "Lambda")
        stack.extend((child, inner) for child in reversed(one.children))


def _imported(cst: Any, node: Any) -> Iterator[tuple[str, str, str | None, str | None, int]]:
    """(kind, module, name, as, level) of each name."""
    plain = isinstance(node, cst.Import)
    module = "" if plain or node.module is None else _dotted(cst, node.module)
    level = 0 if plain else len(node.relative)
    if isinstance(node.names, cst.ImportStar):
        yield "star", module, "*", None, level
        return
    for alias in node.names:
        name = _dotted(cst, alias.name)
        as_name = None if alias.asname is None else _dotted(cst, alias.asname.name)
        yield (
            ("import", name, None, as_name, 0) if plain else ("from", module, name, as_name, level)
        )


def _dotted(cst: Any, node: Any) -> str:
    if isinstance(node, cst.Attribute):
        return f"{_dotted(cst, node.value)}.{node.attr.value}"
    return str(node.value)


if __name__ == "__main__":
    main()
