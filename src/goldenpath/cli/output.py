"""What commands print: a table for people, or one JSON object a line for programs."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from goldenpath.model.entries import format_time


def print_json(row: Mapping[str, Any]) -> None:
    """Print one object on one line, at once."""
    print(json.dumps(row, ensure_ascii=False, separators=(",", ":")), flush=True)


def print_line(text: str) -> None:
    """Print a line at once, its control characters made visible.

    What users and agents wrote may hold sequences that drive a terminal.
    """
    print("".join(c if c.isprintable() else _visible(c) for c in text), flush=True)


def _visible(character: str) -> str:
    return {"\n": "⏎", "\t": " "}.get(character, f"\\x{ord(character):02x}")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows below their headings; the last column is cut to a terminal's width."""
    table = [list(headings), *[[_plain(cell) for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(headings) - 1)]
    room = _room()
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        print_line(cut("  ".join([*cells, row[-1]]).rstrip(), room))


def _plain(cell: str) -> str:
    return "".join(c if c.isprintable() else _visible(c) for c in cell)


def _room() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def cut(text: str, room: int | None) -> str:
    """Cut a text to `room` characters, showing that something is missing."""
    return text if room is None or len(text) <= room else text[: max(room - 1, 0)] + "…"


def show_time(time_ms: int | None) -> str:
    """Show Unix milliseconds in the machine's zone; `-` without."""
    if time_ms is None:
        return "-"
    return datetime.fromtimestamp(time_ms / 1000).strftime("%Y-%m-%d %H:%M:%S")


def json_time(time_ms: int | None) -> str | None:
    """Unix milliseconds as RFC 3339 UTC, as on the wire."""
    return None if time_ms is None else format_time(time_ms)
