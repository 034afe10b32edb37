"""What parses and does not compile: `return` outside a function, a `nonlocal` of nothing."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from ssot.index import cache
from ssot.index.workers import Tell, spread
from ssot.tree.files import Entry

Error = tuple[int, str]
"""Line and message."""


def compile_error(data: bytes) -> Error | None:
    """Why the interpreter does not take a file that it parses; None if it does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(data, "file", "exec", dont_inherit=True)
    except SyntaxError as error:
        return error.lineno or 1, error.msg or "it cannot be compiled"
    except (ValueError, RecursionError, MemoryError) as error:
        return 1, str(error) or type(error).__name__
    return None


def compile_errors(
    root: Path, entries: Sequence[Entry], ids: Mapping[str, str], tell: Tell
) -> dict[str, Error]:
    """Those of a tree's files by path; what was compiled once (content's `ids`) is known."""
    known: dict[str, Error | None] = cache.load(root, "compiled") or {}
    wanted = [entry for entry in entries if ids[entry.path] not in known]
    for path, error in spread(str(root), wanted, _compile_files, _crashed, tell, "compiling"):
        known[ids[path]] = error
    if wanted:
        cache.save(root, "compiled", {sha: known[sha] for sha in ids.values() if sha in known})
    found = ((entry.path, known[ids[entry.path]]) for entry in entries)
    return {path: error for path, error in found if error is not None}


def _compile_files(root: str, entries: Sequence[Entry]) -> list[tuple[str, Error | None]]:
    answers: list[tuple[str, Error | None]] = []
    for entry in entries:
        try:
            with open(os.path.join(root, entry.path), "rb") as file:
                answers.append((entry.path, compile_error(file.read())))
        except OSError:
            answers.append((entry.path, None))
    return answers


def _crashed(_: str, entry: Entry) -> tuple[str, Error | None]:
    return entry.path, (1, "the compiler crashes on it")
