"""Work on many files, in processes; a file that ends the process which works on it stops nothing."""

from __future__ import annotations

import gc
import marshal
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ssot.tree.files import Entry

Tell = Callable[[str, int, int], None]
"""Is told what is done, how much of it, out of how much."""
Work = Callable[[str, Sequence[Entry]], list[Any]]
"""From a tree's folder and some of its files to plain values (for `marshal`)."""
_INLINE_BYTES = 4 * 1024 * 1024
"""Less than this is done here: to start processes takes longer."""
_CHUNK_BYTES = 1024 * 1024


def spread(
    root: str, entries: Sequence[Entry], work: Work, crashed: Callable[[str, Entry], Any],
    tell: Tell, what: str,
) -> Iterator[Any]:  # fmt: skip
    """What `work` gives for all files, in any order; `crashed` for one that ended its process."""
    if sum(entry.size for entry in entries) < _INLINE_BYTES:
        yield from work(root, entries)
        return
    done = 0
    rounds = [list(_chunks(entries))]
    while rounds:
        chunks = rounds.pop()
        halves: list[list[Entry]] = []
        for chunk, answer in _in_processes(root, chunks, work):
            if answer is not None:
                done += len(chunk)
                tell(what, done, len(entries))
                yield from answer
            elif len(chunk) > 1:  # one of them ended its process
                halves += [chunk[: len(chunk) // 2], chunk[len(chunk) // 2 :]]
            elif len(chunks) > 1:  # that process took the others with it: whose fault was it?
                rounds.append([chunk])
            else:
                yield crashed(root, chunk[0])
        if halves:
            rounds.append(halves)


def _in_processes(
    root: str, chunks: list[list[Entry]], work: Work
) -> Iterator[tuple[list[Entry], list[Any] | None]]:
    """What was made of each chunk; None where a process ended before."""
    # Most commands find everything in the cache and need no processes; these modules load slowly.
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed
    from concurrent.futures.process import BrokenProcessPool

    context = multiprocessing.get_context("spawn")
    workers = min(os.cpu_count() or 1, len(chunks))
    with ProcessPoolExecutor(workers, context, initializer=_settle) as pool:
        jobs = {pool.submit(_packed, work, root, chunk): chunk for chunk in chunks}
        for job in as_completed(jobs):
            try:
                yield jobs[job], marshal.loads(job.result())
            except BrokenProcessPool:
                yield jobs[job], None


def _settle() -> None:
    gc.disable()  # syntax trees hold no circles


def _packed(work: Work, root: str, chunk: Sequence[Entry]) -> bytes:
    return marshal.dumps(work(root, chunk))


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
