"""Edits of files, by bytes: what is not named by an edit stays as it is."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from ssot.index.extract import parse


@dataclass(frozen=True, order=True)
class Edit:
    """Bytes [start, end) of a file become `after`; with `delete` the whole file goes."""

    path: str
    start: int
    end: int
    after: bytes
    line: int
    delete: bool = False


class Source:
    """A file's bytes, and where the nodes of its syntax tree stand in them."""

    def __init__(self, path: str, data: bytes) -> None:
        """Raises `SyntaxError`, also for an encoding in which columns are not counted as `ast` does."""
        self.path = path
        self.data = data
        self.tree = parse(data)
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        if not encoding.startswith("utf-8") and not data.isascii():
            raise SyntaxError(f"it is written in {encoding}, in which bytes are not edited")
        self._starts = list(accumulate(map(len, data.splitlines(keepends=True)), initial=0))
        self._bom = 3 if data.startswith(b"\xef\xbb\xbf") else 0

    def offset(self, line: int, column: int) -> int:
        """The byte at a line (from 1) and a column (bytes, as `ast` counts)."""
        return self._starts[line - 1] + column + (self._bom if line == 1 else 0)

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Bytes of a node."""
        start = self.offset(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        end = self.offset(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return start, end

    def text(self, node: ast.AST) -> bytes:
        start, end = self.span(node)
        return self.data[start:end]

    def line_span(self, first: int, last: int) -> tuple[int, int]:
        """Bytes of whole lines, with their ends."""
        return self._starts[first - 1], self._starts[min(last, len(self._starts) - 1)]

    def line_text(self, line: int) -> bytes:
        start, end = self.line_span(line, line)
        return self.data[start:end]

    def indent(self, line: int) -> bytes:
        """What a line begins with: spaces, or tabs."""
        text = self.line_text(line)
        return text[: len(text) - len(text.lstrip(b" \t\f"))]

    def cut(self, node: ast.AST, limit: int) -> tuple[int, int]:
        """Bytes to take out so that an item of a list goes, with its comma and with its line if nothing
        else stands there. `limit`: where the list ends."""
        start, end = self.span(node)
        after = end
        while after < limit and self.data[after : after + 1] in (b" ", b"\t"):
            after += 1
        comma = self.data[after : after + 1] == b","
        after = after + 1 if comma else end
        first, last = self.line_span(node.lineno, node.end_lineno or node.lineno)  # type: ignore[attr-defined]
        left, right = self.data[first:start].strip(), self.data[after:last].strip()
        if not left and (not right or right.startswith(b"#")) and first < last <= limit:
            return first, last
        if comma:
            while self.data[after : after + 1] == b" ":
                after += 1
            return start, after
        while start > first and self.data[start - 1 : start] in (b" ", b"\t"):
            start -= 1
        return (start - 1 if self.data[start - 1 : start] == b"," else start), after

    def newline(self) -> bytes:
        """How its lines end."""
        first = self.data.find(b"\n")
        return b"\r\n" if first > 0 and self.data[first - 1 : first] == b"\r" else b"\n"

    def edit(self, node: ast.AST, after: bytes) -> Edit:
        """Replace a node."""
        start, end = self.span(node)
        return Edit(self.path, start, end, after, node.lineno)  # type: ignore[attr-defined]


def apply(data: bytes, edits: Iterable[Edit]) -> bytes | None:
    """The file after its edits; None if it goes. Raises `ValueError` where two edits overlap."""
    ordered = sorted(set(edits))
    if any(one.delete for one in ordered):
        return None
    result = bytearray()
    at = 0
    for one in ordered:
        if one.start < at:
            raise ValueError(f"two edits of {one.path} overlap in line {one.line}")
        result += data[at : one.start] + one.after
        at = one.end
    return bytes(result + data[at:])


def shown(data: bytes, edits: Iterable[Edit]) -> list[dict[str, object]]:
    """Edits as a plan shows them: the lines before and after."""
    found: list[dict[str, object]] = []
    for one in sorted(set(edits)):
        if one.delete:
            found.append({"path": one.path, "line": 1, "before": _text(data), "after": None})
            continue
        start = data.rfind(b"\n", 0, one.start) + 1
        end = data.find(b"\n", max(one.end - (data[one.end - 1 : one.end] == b"\n"), one.start))
        end = len(data) if end < 0 else end
        before = data[start:end]
        after = data[start : one.start] + one.after + data[one.end : max(end, one.end)]
        found.append({
            "path": one.path, "line": one.line, "before": _text(before),
            "after": _text(after.rstrip(b"\n")),
        })  # fmt: skip
    return found


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
