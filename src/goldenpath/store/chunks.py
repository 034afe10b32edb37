"""Chunks: entries that follow one another, kept as one value; and what erasing leaves of them.

A chunk's bytes are stored: their shape only grows (fields with a default at the end).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from goldenpath.errors import UNREADABLE, CodecError
from goldenpath.model.entries import EncodedEntry

WHOLE_USER = ""
"""In place of a thread's id: everything of the user."""
SETTLED_TYPE = "command_settled"
PRUNED_TYPES = frozenset(
    {
        "agent_output",
        "agent_thinking",
        "tool_progress",
        "step_started",
        "step_completed",
        "run_parked",
        "run_failure",
    }
)
"""What pruning hides of an ended run: how it came to its answer, and journal values."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[EncodedEntry])
_OWNERS = re.compile(
    rb'\{"seq":\d+,"type":"[^"]*","time":"[^"]*",'
    rb'"thread_id":(?:null|"([^"]*)"),"run_id":(?:null|"([^"]*)")'
)
_HASH = re.compile(rb'"body_hash":"[0-9a-f]*"')


def encode_entries(entries: Sequence[EncodedEntry]) -> bytes:
    """Encode a chunk."""
    return _encoder.encode(entries)


def decode_entries(body: bytes | memoryview) -> list[EncodedEntry]:
    """Decode a chunk. Raises `CodecError`."""
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise CodecError(f"a chunk cannot be read: {error}") from error


def bounded(entries: list[EncodedEntry], max_bytes: int) -> list[EncodedEntry]:
    """As many of the first entries as make about `max_bytes`, at least one."""
    size = 0
    for count, entry in enumerate(entries):
        if size >= max_bytes and count:
            return entries[:count]
        size += len(entry.json)
    return entries


def owners(entry: EncodedEntry) -> tuple[str | None, str | None]:
    """(thread id, run id) of an entry, from its first bytes; ids hold no escapes."""
    found = _OWNERS.match(entry.json)
    if found is None:
        return None, None
    thread, run = found.groups()
    return (
        None if thread is None else thread.decode(),
        None if run is None else run.decode(),
    )


def erased(entry: EncodedEntry) -> EncodedEntry:
    """The entry without its content; a command's outcome stays, without its body's hash."""
    if not entry.json:
        return entry
    settled = entry.type == SETTLED_TYPE
    json = _HASH.sub(b'"body_hash":null', entry.json, 1) if settled else b""
    return EncodedEntry(entry.seq, entry.type, entry.internal, json)


def without(entries: Sequence[EncodedEntry], erasing: dict[str, int]) -> list[EncodedEntry]:
    """The same entries, with those erased that `erasing` (thread: up to seq) names."""
    whole = erasing.get(WHOLE_USER, 0)
    result: list[EncodedEntry] = []
    for entry in entries:
        if entry.seq <= whole:
            result.append(erased(entry))
            continue
        thread_id, _ = owners(entry)
        upto = erasing.get(thread_id, 0) if thread_id is not None else 0
        result.append(erased(entry) if entry.seq <= upto else entry)
    return result


def pruned(
    entries: Sequence[EncodedEntry], runs: frozenset[str], *, everything: bool
) -> list[EncodedEntry]:
    """The same entries, with those of these runs erased that pruning (retention: all) takes."""
    return [
        erased(entry)
        if (everything or entry.type in PRUNED_TYPES) and owners(entry)[1] in runs
        else entry
        for entry in entries
    ]
