"""RESULTS.md and results.json, to which several commands write: none takes what another wrote."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SECTION = "\n## "
OF_OTHERS = ("Many hosts (PostgreSQL)",)
"""Sections that a command of their own writes; they stand at the end."""


def machine(command: str, minutes: float) -> dict[str, Any]:
    """When and where figures were measured, and by which command."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "cores": os.cpu_count(),
        "command": command,
        "minutes": minutes,
    }


def sections(page: str) -> dict[str, str]:
    """A page's sections by their titles; '' is what stands before the first."""
    first, *others = page.split(SECTION)
    return {"": first} | {part.partition("\n")[0]: part.partition("\n")[2] for part in others}


def joined(parts: dict[str, str]) -> str:
    """The page of these sections."""
    texts = [parts[""].rstrip(), *(f"## {k}\n\n{v.strip()}" for k, v in parts.items() if k)]
    return "\n\n".join(texts) + "\n"


def put_page(page: str, figures: dict[str, Any], directory: Path = HERE) -> None:
    """Replace everything but what other commands wrote."""
    new, old = sections(page), sections(_read(directory / "RESULTS.md"))
    _put(new | {name: old[name] for name in OF_OTHERS if name in old}, figures, directory)


def put_section(title: str, text: str, figures: dict[str, Any], directory: Path = HERE) -> None:
    """Replace one section, or add it at the end."""
    _put(sections(_read(directory / "RESULTS.md")) | {title: text}, figures, directory)


def _put(parts: dict[str, str], figures: dict[str, Any], directory: Path) -> None:
    (directory / "RESULTS.md").write_text(joined(parts))
    known = json.loads(_read(directory / "results.json") or "{}")
    (directory / "results.json").write_text(json.dumps(known | figures, indent=1) + "\n")


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""
