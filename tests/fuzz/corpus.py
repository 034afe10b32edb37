"""The corpus: for each target one file, with an input a line (base64), in order."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path

_MOST_INPUTS = 150
_MOST_BYTES = 400
FOLDER = Path(__file__).with_name("corpus")


def load(name: str) -> list[bytes]:
    """The inputs that are kept of a target."""
    file = FOLDER / f"{name}.b64"
    lines = file.read_text().split() if file.exists() else []
    return [base64.b64decode(line) for line in lines]


def keep(name: str, inputs: Iterable[bytes]) -> int:
    """Replace the inputs of a target by the shortest of these. Count them."""
    FOLDER.mkdir(exist_ok=True)
    short = {one for one in inputs if len(one) <= _MOST_BYTES}
    chosen = sorted(short, key=lambda one: (len(one), one))[:_MOST_INPUTS]
    lines = [base64.b64encode(one).decode() for one in chosen]
    (FOLDER / f"{name}.b64").write_text("\n".join(lines) + "\n")
    return len(lines)
