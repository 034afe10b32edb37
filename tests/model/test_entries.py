"""The codec: what is stored is what was meant, exactly, or it is refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.errors import CodecError
from goldenpath.model import events, journal
from goldenpath.model.entries import (
    CODEC_VERSION,
    TYPE_NAMES,
    EncodedEntry,
    Entry,
    decode,
    encode,
    format_time,
    parse_time,
)
from goldenpath.model.events import EVENT_TYPES
from goldenpath.model.ids import Seq
from goldenpath.model.journal import RECORD_TYPES
from tests.model.shapes import ALL_TYPES, entries_of, examples


@pytest.mark.parametrize(
    "kind", [kind for kind, _ in ALL_TYPES], ids=[name for _, name in ALL_TYPES]
)
def test_every_type_survives(kind: type[Any]) -> None:
    """Decoding what was encoded gives an equal entry, whatever text and numbers it holds."""

    @examples(40)
    @given(entries_of(kind))
    def check(entry: Entry) -> None:
        encoded = encode(entry)
        assert decode(encoded) == entry
        assert encode(decode(encoded)) == encoded

    check()


@examples(60)
@given(st.one_of(*(entries_of(kind) for kind in EVENT_TYPES.values())))
def test_an_event_is_stored_as_it_is_sent(entry: Entry) -> None:
    """The stored bytes are the protocol's envelope, one line of UTF-8."""
    encoded = encode(entry)
    envelope = json.loads(encoded.json)
    assert list(envelope) == ["seq", "type", "time", "thread_id", "run_id", "data"]
    assert envelope["seq"] == entry.seq == encoded.seq
    assert envelope["type"] == TYPE_NAMES[type(entry.body)] == encoded.type
    assert envelope["thread_id"] == entry.thread_id
    assert b"\n" not in encoded.json
    assert not encoded.internal and not encoded.hidden and not entry.internal


def test_records_are_internal_and_erased_entries_hidden() -> None:
    """No client sees a journal record, or what was erased; both are counted."""
    for name, kind in {**EVENT_TYPES, **RECORD_TYPES}.items():
        assert issubclass(kind, journal.Record) == (name in RECORD_TYPES)
    record = encode(Entry(Seq(1), 0, None, None, journal.RunFailure(detail="x")))
    assert record.internal and record.hidden
    assert EncodedEntry(1, "agent_output", False, b"").hidden


@examples(200)
@given(st.integers(-62_135_596_800_000, 253_402_300_799_999))
def test_times_survive_to_the_millisecond(time_ms: int) -> None:
    """RFC 3339 in UTC with three digits, for the years 1 to 9999."""
    text = format_time(time_ms)
    assert parse_time(text) == time_ms
    assert len(text) == 24 and text.endswith("Z")
    assert datetime.fromisoformat(text).tzinfo == UTC


def test_a_time_looks_as_documented() -> None:
    """The example of the protocol."""
    assert format_time(1_767_323_045_678) == "2026-01-02T03:04:05.678Z"
    assert format_time(0) == "1970-01-01T00:00:00.000Z"


@pytest.mark.parametrize("time_ms", [10**15, -(10**15), 10**30])
def test_impossible_times_are_refused(time_ms: int) -> None:
    """A time beyond year 9999 cannot be stored."""
    with pytest.raises(CodecError):
        encode(Entry(Seq(1), time_ms, None, None, journal.RunFailure(detail="")))


@pytest.mark.parametrize("text", ["a\ud800", "\udfff"])
def test_lone_surrogates_are_refused(text: str) -> None:
    """Text without a UTF-8 form is refused in both directions."""
    with pytest.raises(CodecError, match="agent_thinking cannot be stored"):
        encode(Entry(Seq(1), 0, None, None, events.AgentThinking(text=text)))


def test_values_without_json_are_refused() -> None:
    """What JSON cannot hold is an error, never a guess."""
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    key = journal.StepKey("", "s", "", 0)
    for value in (object(), {1j: 2}, nested):
        body = journal.StepCompleted(key=key, value=value, remaining_ms=0)
        with pytest.raises(CodecError):
            encode(Entry(Seq(1), 0, None, None, body))


GOOD = encode(Entry(Seq(4), 0, None, None, events.AgentThinking(text="x", step=None)))


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"null",
        GOOD.json[:-1],
        GOOD.json.replace(b"agent_thinking", b"agent_dreaming"),
        GOOD.json.replace(b'"x"', b"1"),
        GOOD.json.replace(b"1970-01-01", b"1970-13-01"),
        GOOD.json.replace(b"Z", b""),
        GOOD.json.replace(b'"x"', b'"\xff"'),
        GOOD.json.replace(b'"x"', b'"\\ud800"'),
        b"[" * 100_000,
    ],
    ids=["empty", "null", "cut", "type", "field", "month", "zone", "utf8", "surrogate", "deep"],
)
def test_damaged_bytes_are_named(damaged: bytes) -> None:
    """Every way of being unreadable is one error, which names the entry."""
    with pytest.raises(CodecError, match="entry 4"):
        decode(EncodedEntry(4, "agent_thinking", False, damaged))


@examples(300)
@given(st.binary(max_size=60), st.integers(0, len(GOOD.json)), st.integers(0, 30))
def test_no_bytes_break_the_decoder(junk: bytes, at: int, drop: int) -> None:
    """Any bytes are an entry or a CodecError."""
    data = GOOD.json[:at] + junk + GOOD.json[at + drop :]
    try:
        entry = decode(EncodedEntry(4, "agent_thinking", False, data))
    except CodecError:
        return
    assert isinstance(entry, Entry)


def test_a_newer_version_is_refused() -> None:
    """Software that is older than the log says so instead of guessing."""
    with pytest.raises(CodecError, match="newer than this software"):
        decode(GOOD, CODEC_VERSION + 1)


def test_an_unknown_field_is_skipped() -> None:
    """Shapes grow: a field that a later version added does not stop this one."""
    grown = GOOD.json.replace(b'"step":null', b'"step":null,"mood":"good"')
    assert grown != GOOD.json
    assert decode(EncodedEntry(4, "agent_thinking", False, grown)) == decode(GOOD)


def test_entries_cannot_be_changed() -> None:
    """What is in the log stays as it is: every shape is frozen."""
    for kind in TYPE_NAMES:
        assert issubclass(kind, msgspec.Struct)
        assert kind.__struct_config__.frozen
