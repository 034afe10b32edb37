"""The facts of many files: from the cache, and of those that changed in worker processes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from ssot.index import cache
from ssot.index.extract import extract
from ssot.index.facts import Facts, Record
from ssot.index.newer import read_lines, reread
from ssot.index.workers import Tell, spread
from ssot.tree.files import Entry

_STALE_SHARE = 0.01
_CRASHED = (1, "the parser crashes on it")
Answer = tuple[str, int, int, str, Record | None, str | None]
"""Path, size, time of change, content's id, what was read, or why nothing was."""


def blob_id(data: bytes) -> str:
    """The content's hash, as git makes it: a revision's files are found in the cache, too."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def facts_of(
    root: Path, entries: Sequence[Entry], tell: Tell
) -> tuple[dict[str, Facts], dict[str, str], list[tuple[str, str]]]:
    """The facts of a tree's files by path, their content's ids, and (path, reason) of the unreadable."""
    kept: tuple[dict[str, tuple[int, int, str]], dict[str, Record]] = cache.load(root, "facts") or (
        {},
        {},
    )
    before, records = kept
    stamps = {entry.path: before[entry.path] for entry in entries if entry.path in before}
    wanted = [
        entry for entry in entries
        if (stamp := stamps.get(entry.path)) is None
        or stamp[:2] != (entry.size, entry.changed_ns) or stamp[2] not in records
    ]  # fmt: skip
    unreadable: list[tuple[str, str]] = []
    if wanted:
        answers = spread(str(root), wanted, read_files, _crashed, tell, "reading files")
        for path, size, changed_ns, sha, record, reason in answers:
            if record is None:
                unreadable.append((path, reason))
                stamps.pop(path, None)
            else:
                stamps[path] = (size, changed_ns, sha)
                records[sha] = record
        _reread(root, stamps, records, wanted)
        # To write a large cache takes longer than to read a few files again.
        if len(wanted) > len(entries) * _STALE_SHARE:
            # Whether a process ended for its file or for want of memory is not known: it is tried again.
            used = {
                sha: records[sha] for _, _, sha in stamps.values() if records[sha][0] != _CRASHED
            }
            cache.save(root, "facts", (stamps, used))
    ids = {path: stamp[2] for path, stamp in stamps.items()}
    by_id = {sha: Facts(records[sha]) for sha in dict.fromkeys(ids.values())}
    return {path: by_id[sha] for path, sha in ids.items()}, ids, unreadable


def _reread(
    root: Path, stamps: dict[str, tuple[int, int, str]], records: dict[str, Record],
    entries: Sequence[Entry],
) -> None:  # fmt: skip
    """Read what could not be parsed once more: it may only be newer."""
    files: dict[str, tuple[bytes, Facts]] = {}
    for entry in entries:
        if entry.path in stamps:
            sha = stamps[entry.path][2]
            facts = Facts(records[sha])
            if facts.error is not None and facts.newer is None:
                files[sha] = (_content(root, entry.path), facts)
    for sha, facts in reread(files).items():
        records[sha] = facts.record


def _content(root: Path, path: str) -> bytes:
    try:
        return (root / path).read_bytes()
    except OSError:
        return b""


def read_files(root: str, entries: Sequence[Entry]) -> list[Answer]:
    """Read some files."""
    answers: list[Answer] = []
    for entry in entries:
        try:
            with open(os.path.join(root, entry.path), "rb") as file:
                data = file.read()
        except OSError as error:
            reason = error.strerror or str(error)
            answers.append((entry.path, entry.size, entry.changed_ns, "", None, reason))
            continue
        record = extract(data).record
        answers.append((entry.path, len(data), entry.changed_ns, blob_id(data), record, None))
    return answers


def _crashed(root: str, entry: Entry) -> Answer:
    """A file that ends the process which parses it: read by lines."""
    data = _content(Path(root), entry.path)
    facts = read_lines(data, _CRASHED)
    return (entry.path, entry.size, entry.changed_ns, blob_id(data), facts.record, None)
