"""Which files a tree has, and why some are not looked at."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ssot import git
from ssot.tree.globs import matcher

CODE = (".py",)
TEXTS = (".md", ".rst")
MOST_BYTES = 4 * 1024 * 1024
"""A larger file is not read: its syntax tree would take a hundred times as much memory."""
_LEFT_OUT = frozenset(
    {
        ".git", ".hg", ".svn", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache",
        ".ruff_cache", ".pytest_cache", ".hypothesis", ".eggs",
    }
)  # fmt: skip


def encoded(text: str) -> bytes:
    """The bytes of a name as files hold it; a path may be no text."""
    return text.encode(errors="surrogateescape")


@dataclass(frozen=True)
class Entry:
    """A file as it stands on the disk: size in bytes, time of its last change in ns."""

    path: str
    size: int
    changed_ns: int


@dataclass
class Found:
    """What is in a tree: code, other texts, and (path, reason) of what is not looked at."""

    code: list[Entry] = field(default_factory=list[Entry])
    texts: list[Entry] = field(default_factory=list[Entry])
    skipped: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    names: list[str] = field(default_factory=list[str])
    """All paths, of whatever kind."""


def find(root: Path, exclude: tuple[str, ...] = ()) -> Found:
    """List a tree: what git knows or would not ignore, or, without git, all that is no cache."""
    excluded = matcher(exclude)
    found = Found()
    known = git.files(root)
    found.names = list(_walk(root, found)) if known is None else known
    for path in found.names:
        if not path.endswith(CODE + TEXTS) or excluded(path):
            continue
        _take(root, path, found)
    for entries in (found.code, found.texts):
        entries.sort(key=lambda entry: entry.path)
    found.skipped.sort()
    return found


def _walk(root: Path, found: Found) -> Iterator[str]:
    top = os.fspath(root)
    for folder, folders, names in os.walk(top):
        below = os.path.relpath(folder, top)
        prefix = "" if below == "." else below.replace(os.sep, "/") + "/"
        kept: list[str] = []
        for name in sorted(folders):
            path = os.path.join(folder, name)
            if name in _LEFT_OUT or os.path.exists(os.path.join(path, "pyvenv.cfg")):
                continue
            if os.path.islink(path):
                found.skipped.append((prefix + name, "a link to a folder is not followed"))
                continue
            kept.append(name)
        folders[:] = kept
        yield from (prefix + name for name in sorted(names))


def _take(root: Path, path: str, found: Found) -> None:
    try:
        status = os.lstat(f"{root}/{path}")
        if stat.S_ISLNK(status.st_mode):
            target = (root / path).resolve(strict=True)
            if target.is_relative_to(root.resolve()):
                found.skipped.append((path, "a link to another file of the tree"))
                return
            status = os.stat(target)
    except FileNotFoundError:
        if os.path.islink(root / path):
            found.skipped.append((path, "a link to nothing"))
        return  # git knows it, and it was deleted
    except (OSError, RuntimeError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "a link to itself"
        )
        found.skipped.append((path, reason))
        return
    if not stat.S_ISREG(status.st_mode):
        found.skipped.append((path, "no regular file"))
    elif status.st_size > MOST_BYTES:
        found.skipped.append((path, f"{status.st_size} bytes are more than {MOST_BYTES}"))
    else:
        entry = Entry(path, status.st_size, status.st_mtime_ns)
        (found.code if path.endswith(CODE) else found.texts).append(entry)
