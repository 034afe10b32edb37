"""Logs of released versions are read for ever, and mean what they meant."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from goldenpath.model.entries import (
    CODEC_VERSION,
    TYPE_NAMES,
    EncodedEntry,
    Entry,
    decode,
    encode,
)
from goldenpath.model.grammar import UserState
from goldenpath.model.grammar import apply as check
from goldenpath.model.journal import RECORD_TYPES
from goldenpath.model.projections import Rows, apply

HERE = Path(__file__).parent
VERSIONS = sorted(int(path.stem[1:]) for path in HERE.glob("v*.jsonl"))


def lines_of(version: int) -> list[bytes]:
    return (HERE / f"v{version}.jsonl").read_bytes().splitlines()


def read(version: int) -> list[Entry]:
    entries: list[Entry] = []
    for at, line in enumerate(lines_of(version), 1):
        name = json.loads(line)["type"]
        encoded = EncodedEntry(at, name, name in RECORD_TYPES, line)
        entries.append(decode(encoded, version))
    return entries


def holds(now: Any, recorded: Any) -> bool:
    """True if everything that was recorded is still there; shapes may have grown."""
    if isinstance(recorded, dict) and isinstance(now, dict):
        return all(name in now and holds(now[name], value) for name, value in recorded.items())
    if isinstance(recorded, list) and isinstance(now, list):
        return len(now) == len(recorded) and all(map(holds, now, recorded))
    return type(now) is type(recorded) and now == recorded


def test_every_version_has_its_recording() -> None:
    """From the first codec version to the one that this software writes."""
    assert list(range(1, CODEC_VERSION + 1)) == VERSIONS


def test_every_type_is_recorded() -> None:
    """A new type of entry comes with a recording that has it."""
    recorded = {type(entry.body) for version in VERSIONS for entry in read(version)}
    assert recorded == set(TYPE_NAMES)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_is_read_without_loss(version: int) -> None:
    """Every entry decodes, and what was stored then is what it says now."""
    for line, entry in zip(lines_of(version), read(version), strict=True):
        if version == CODEC_VERSION:
            assert holds(json.loads(encode(entry).json), json.loads(line))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_is_still_legal(version: int) -> None:
    """The grammar never comes to refuse what an engine of that version appended."""
    state = UserState()
    for entry in read(version):
        check(state, entry)
    assert not state.runs


@pytest.mark.parametrize("version", VERSIONS)
def test_a_recording_gives_the_rows_that_it_gave(version: int) -> None:
    """Projections of an old log do not change their meaning."""
    rows = Rows()
    for entry in read(version):
        apply(rows, entry)
    now = {name: getattr(rows, name) for name in ("threads", "runs", "approvals", "receipts")}
    recorded = json.loads((HERE / f"v{version}.rows.json").read_text())
    assert holds(json.loads(msgspec.json.encode(now)), recorded)
    assert {name: set(kind) for name, kind in now.items()} == {
        name: set(kind) for name, kind in recorded.items()
    }
