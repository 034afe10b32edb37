"""Files that this interpreter cannot parse: read with libcst if they are only newer, else by lines.

libcst's parser can be made to crash, so it works in a process of its own: whatever a file does to it,
that file is read by lines, and the others go on.
"""

from __future__ import annotations

import marshal
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ssot.index.facts import Binding, Facts, Import, record

_STATEMENT = re.compile(
    rb"^(?P<indent>[ \t]*)(?:from[ \t]+(?P<dots>\.*)(?P<module>[\w.]*)[ \t]+import[ \t]+"
    rb"(?:\((?P<block>[^)]*)\)|(?P<names>[^\n#;]+))|import[ \t]+(?P<modules>[^\n#;]+))",
    re.MULTILINE,
)
_DEFINED = re.compile(rb"^(?:async[ \t]+)?(?P<kind>def|class)[ \t]+(?P<name>\w+)", re.MULTILINE)
_SECONDS = 120.0
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
    waiting = dict(files)
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
    try:
        done = subprocess.run(
            [sys.executable, "-m", "ssot.index.newer"], input=marshal.dumps(files),
            capture_output=True, check=False, timeout=_SECONDS,
        )  # fmt: skip
        out = done.stdout
    except subprocess.TimeoutExpired as error:
        out = error.stdout or b""
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
    for key, data in marshal.loads(sys.stdin.buffer.read()):
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
    version = "3.12"
    imports: list[tuple[int, str, str, str | None, str | None, int, bool]] = []
    for node, outside in _walk(wrapper.module, True):
        name = type(node).__name__
        if name == "TypeParam" and getattr(node, "default", None) is not None:
            version = max(version, "3.13")
        elif name.startswith("TemplatedString"):
            version = max(version, "3.14")
        elif name in ("Import", "ImportFrom"):
            line = lines[node].start.line
            imports += [(line, *one, outside) for one in _imported(cst, node)]
    return version, imports


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
