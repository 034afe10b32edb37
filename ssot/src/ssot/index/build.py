"""The facts of many files: from the cache, and of those that changed in worker processes."""

from __future__ import annotations

import gc
import hashlib
import marshal
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from ssot.index.extract import extract
from ssot.index.facts import VERSION, Facts, pack, unpack
from ssot.index.newer import read_lines, reread
from ssot.tree.files import Entry

Tell = Callable[[str, int, int], None]
"""Is told what is done, how much of it, out of how much."""
_HEADER = (VERSION, sys.version_info[:3])
_INLINE_BYTES = 4 * 1024 * 1024
"""Less than this is read here: to start processes takes longer."""
_STALE_SHARE = 0.01
_CHUNK_BYTES = 1024 * 1024
Raw = tuple[Any, ...]


def blob_id(data: bytes) -> str:
    """The content's hash, as git makes it: a revision's files are found in the cache, too."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


class Cache:
    """Facts by content, and which content a path had; one file in the user's cache folder."""

    def __init__(self, root: Path) -> None:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        name = hashlib.sha1(os.fsencode(root), usedforsecurity=False).hexdigest()
        self._path = Path(base) / "ssot" / f"{name}.marshal"
        self.stamps: dict[str, tuple[int, int, str]] = {}
        self.facts: dict[str, Raw] = {}
        self.changed = False

    def load(self) -> None:
        """Read it; one that cannot be used is as good as none."""
        try:
            header, self.stamps, self.facts = marshal.loads(self._path.read_bytes())
        except (OSError, ValueError, EOFError, TypeError):
            return
        if header != _HEADER:
            self.stamps, self.facts = {}, {}

    def save(self) -> None:
        """Write it, if it changed, without what no path has any more."""
        if not self.changed:
            return
        kept = {sha: self.facts[sha] for _, _, sha in self.stamps.values() if sha in self.facts}
        data = marshal.dumps((_HEADER, self.stamps, kept))
        beside = self._path.with_suffix(f".{os.getpid()}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data)
            os.replace(beside, self._path)
        except OSError:
            beside.unlink(missing_ok=True)  # without a cache the next run takes longer


def facts_of(
    root: Path, entries: Sequence[Entry], tell: Tell
) -> tuple[dict[str, Facts], dict[str, str], list[tuple[str, str]]]:
    """The facts of a tree's files by path, their content's ids, and (path, reason) of the unreadable."""
    cache = Cache(root)
    cache.load()
    wanted: list[Entry] = []
    for entry in entries:
        stamp = cache.stamps.get(entry.path)
        known = stamp is not None and stamp[:2] == (entry.size, entry.changed_ns)
        if stamp is None or not known or stamp[2] not in cache.facts:
            wanted.append(entry)
    unreadable: list[tuple[str, str]] = []
    if wanted:
        known_ids = frozenset(cache.facts)
        for found in _read(root, wanted, known_ids, tell):
            for path, size, changed_ns, sha, raw, reason in found:
                if reason is not None:
                    unreadable.append((path, reason))
                    cache.stamps.pop(path, None)
                    continue
                cache.stamps[path] = (size, changed_ns, sha)
                if raw is not None:
                    cache.facts[sha] = raw
        _reread(root, cache, wanted)
        # To write a large cache takes longer than to read a few files again.
        cache.changed = len(wanted) > len(entries) * _STALE_SHARE
    present = {entry.path for entry in entries}
    if cache.stamps.keys() - present:
        cache.stamps = {path: stamp for path, stamp in cache.stamps.items() if path in present}
    cache.save()
    ids = {path: stamp[2] for path, stamp in cache.stamps.items()}
    made: dict[str, Facts] = {}
    by_id: dict[str, Facts] = {}
    for path, sha in ids.items():
        if sha not in by_id:
            by_id[sha] = unpack(cache.facts[sha])
        made[path] = by_id[sha]
    return made, ids, unreadable


def _reread(root: Path, cache: Cache, entries: Sequence[Entry]) -> None:
    """Read what could not be parsed once more: it may only be newer."""
    files: dict[str, tuple[bytes, Facts]] = {}
    for entry in entries:
        stamp = cache.stamps.get(entry.path)
        if stamp is not None and stamp[2] in cache.facts:
            facts = unpack(cache.facts[stamp[2]]) if cache.facts[stamp[2]][1] else None
            if facts is not None and facts.newer is None:
                files[stamp[2]] = (_content(root, entry.path), facts)
    for sha, facts in reread(files).items():
        cache.facts[sha] = pack(facts)


def _content(root: Path, path: str) -> bytes:
    try:
        return (root / path).read_bytes()
    except OSError:
        return b""


Answer = list[tuple[str, int, int, str, Raw | None, str | None]]


def _read(
    root: Path, entries: Sequence[Entry], known: frozenset[str], tell: Tell
) -> Iterable[Answer]:
    chunks = list(_chunks(entries))
    total = len(entries)
    if sum(entry.size for entry in entries) < _INLINE_BYTES:
        yield read_chunk((str(root), entries, known))
        return
    done = 0
    waiting = chunks
    while waiting:
        left: list[list[Entry]] = []
        for chunk, answer in _in_processes(root, waiting):
            if answer is not None:
                done += len(answer)
                tell("reading files", done, total)
                yield answer
            elif len(chunk) > 1:  # one of them ended its process: the halves are tried alone
                left += [chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]]
            else:
                yield [_crashed(root, chunk[0])]
        waiting = left


def _in_processes(
    root: Path, chunks: list[list[Entry]]
) -> Iterator[tuple[list[Entry], Answer | None]]:
    """What was read of each chunk; None where a process ended before."""
    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, len(chunks))
    with ProcessPoolExecutor(workers, context, initializer=_settle) as pool:
        jobs = {
            pool.submit(_read_packed, (str(root), chunk, frozenset[str]())): chunk
            for chunk in chunks
        }
        for job in as_completed(jobs):
            try:
                yield jobs[job], marshal.loads(job.result())
            except BrokenProcessPool:
                yield jobs[job], None


def _crashed(root: Path, entry: Entry) -> tuple[str, int, int, str, Raw | None, str | None]:
    """A file that ends the process which parses it: read by lines."""
    data = _content(root, entry.path)
    facts = read_lines(data, (1, "the parser crashes on it"))
    return (entry.path, entry.size, entry.changed_ns, blob_id(data), pack(facts), None)


def _settle() -> None:
    gc.disable()  # syntax trees hold no circles


def _chunks(entries: Sequence[Entry]) -> Iterable[list[Entry]]:
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        chunk.append(entry)
        size += entry.size
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _read_packed(job: tuple[str, Sequence[Entry], frozenset[str]]) -> bytes:
    return marshal.dumps(read_chunk(job))


def read_chunk(job: tuple[str, Sequence[Entry], frozenset[str]]) -> Answer:
    """Read some files; those whose content is known are only named."""
    root, entries, known = job
    answer: Answer = []
    for entry in entries:
        try:
            with open(os.path.join(root, entry.path), "rb") as file:
                data = file.read()
        except OSError as error:
            reason = error.strerror or str(error)
            answer.append((entry.path, entry.size, entry.changed_ns, "", None, reason))
            continue
        sha = blob_id(data)
        raw = None if sha in known else pack(extract(data))
        answer.append((entry.path, len(data), entry.changed_ns, sha, raw, None))
    return answer
