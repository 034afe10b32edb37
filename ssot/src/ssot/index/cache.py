"""What was found out of a tree's files, kept by content in the user's cache folder."""

from __future__ import annotations

import hashlib
import marshal
import os
import sys
from pathlib import Path
from typing import Any

from ssot.index.facts import VERSION

_HEADER = (VERSION, sys.version_info[:3])


def load(root: Path, kind: str) -> Any:
    """What was kept last; None where nothing can be used."""
    try:
        header, value = marshal.loads(_path(root, kind).read_bytes())
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return value if header == _HEADER else None


def save(root: Path, kind: str, value: Any) -> None:
    """Keep a value that `marshal` takes. Where nothing can be written the next run takes longer."""
    path = _path(root, kind)
    beside = path.with_suffix(f".{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(marshal.dumps((_HEADER, value)))
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)


def _path(root: Path, kind: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.sha1(os.fsencode(root), usedforsecurity=False).hexdigest()
    return Path(base) / "ssot" / f"{name}.{kind}"
