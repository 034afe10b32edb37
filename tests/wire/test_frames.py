"""Frames of the native protocol: what is read, what is refused and how, what is written."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.model.ids import Mark, Seq
from goldenpath.store.interface import Batch
from goldenpath.wire.frames import (
    Ack,
    AnyServerFrame,
    CancelFrame,
    DecideFrame,
    Events,
    FrameError,
    Goodbye,
    Hello,
    Ping,
    Pong,
    Renew,
    SendFrame,
    decode_client_frame,
    encode_batch,
    encode_frame,
)

VALID: dict[str, dict[str, Any]] = {
    "hello": {"type": "hello", "device": "tab-1", "cursor": 4, "mark": "k3Jx"},
    "send": {
        "type": "send",
        "id": "c1",
        "thread_id": None,
        "text": "grüße 🎈",
        "agent": "analyst",
        "when_busy": "interrupt",
        "attachments": [],
    },
    "cancel": {"type": "cancel", "id": "c2", "run_id": "r"},
    "decide": {
        "type": "decide",
        "id": "c3",
        "approval_id": "a",
        "decision": "deny",
        "reason": "no",
    },
    "ack": {"type": "ack", "cursor": 7},
    "renew": {"type": "renew", "token": "a.b.c"},
    "ping": {"type": "ping", "id": "p"},
}
TYPES = {
    "hello": Hello,
    "send": SendFrame,
    "cancel": CancelFrame,
    "decide": DecideFrame,
    "ack": Ack,
    "renew": Renew,
    "ping": Ping,
}
REQUIRED = {
    "hello": {"device"},
    "send": {"id", "text"},
    "cancel": {"id", "run_id"},
    "decide": {"id", "approval_id", "decision"},
    "ack": {"cursor"},
    "renew": {"token"},
    "ping": {"id"},
}


def refusal(text: str) -> FrameError:
    with pytest.raises(FrameError) as caught:
        decode_client_frame(text)
    return caught.value


@pytest.mark.parametrize("kind", VALID)
def test_every_frame_is_read_as_its_own_type(kind: str) -> None:
    frame = decode_client_frame(json.dumps(VALID[kind]))
    assert type(frame) is TYPES[kind]
    for name, value in VALID[kind].items():
        assert name == "type" or getattr(frame, name) == value


@pytest.mark.parametrize(("kind", "field"), [(k, f) for k in VALID for f in sorted(REQUIRED[k])])
def test_a_missing_field_is_refused_with_the_id_where_there_is_one(kind: str, field: str) -> None:
    error = refusal(json.dumps({k: v for k, v in VALID[kind].items() if k != field}))
    assert error.code == "invalid_field"
    assert error.frame_id == (None if field == "id" else VALID[kind].get("id"))
    assert field in error.message


@pytest.mark.parametrize("kind", VALID)
def test_an_extra_field_is_refused(kind: str) -> None:
    error = refusal(json.dumps({**VALID[kind], "zeal": 1}))
    assert (error.code, error.frame_id) == ("invalid_field", VALID[kind].get("id"))
    assert "zeal" in error.message


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("send", "text", 5),
        ("send", "text", None),
        ("send", "when_busy", "soon"),
        ("send", "attachments", "a"),
        ("send", "thread_id", 7),
        ("decide", "decision", "maybe"),
        ("hello", "cursor", -1),
        ("hello", "cursor", "5"),
        ("hello", "cursor", 1.5),
        ("hello", "cursor", True),
        ("hello", "cursor", 2**60),
        ("hello", "mark", "m" * 65),
        ("ack", "cursor", None),
        ("ack", "cursor", -3),
        ("renew", "token", {}),
    ],
)
def test_a_value_of_the_wrong_kind_is_an_invalid_field(kind: str, field: str, value: Any) -> None:
    error = refusal(json.dumps({**VALID[kind], field: value}))
    assert (error.code, error.frame_id) == ("invalid_field", VALID[kind].get("id"))


@pytest.mark.parametrize("bad", ["", "x" * 65, "a b", "ä", "a\n", "a/b", "\x00"])
@pytest.mark.parametrize(("kind", "field"), [("send", "id"), ("ping", "id"), ("hello", "device")])
def test_ids_of_clients_have_an_alphabet_and_a_length(kind: str, field: str, bad: str) -> None:
    error = refusal(json.dumps({**VALID[kind], field: bad}))
    assert (error.code, error.frame_id) == ("invalid_field", None)


@pytest.mark.parametrize("kind", ["welcome", "events", "accepted", "goodbye", "sing", ""])
def test_a_type_that_no_client_sends_is_unknown(kind: str) -> None:
    error = refusal(json.dumps({"type": kind, "id": "c9"}))
    assert (error.code, error.frame_id) == ("unknown_type", "c9")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"type":"ping","id":"a"} x',
        '{"type":"ping","id":"a",}',
        "NaN",
        '{"type":"send","id":"a","text":"\\ud800"}',
        '{"type":"send","id":"a","text":"\ud800"}',
        '{"type":"send","id":"a","text":"\\ud800x"}',
        "[" * 100_000,
        "[" * 100_000 + "]" * 100_000,
        '{"type":"send","id":"a","text":' + "[" * 100_000,
        '{"x":' * 50_000 + "1" + "}" * 50_000,
    ],
    ids=range(13),
)
def test_what_is_not_json_or_nested_without_end_is_invalid_json(text: str) -> None:
    error = refusal(text)
    assert (error.code, error.frame_id) == ("invalid_json", None)
    assert len(error.message) < 200


@pytest.mark.parametrize("text", ["[]", "5", "null", '"ping"', "{}", '{"type":5}', '{"id":"a"}'])
def test_json_that_is_no_frame_is_an_invalid_field(text: str) -> None:
    assert refusal(text).code == "invalid_field"


@given(st.sampled_from(sorted(VALID)), st.data())
def test_a_frame_that_is_cut_or_joined_anywhere_is_refused_and_nothing_else(
    kind: str, data: st.DataObject
) -> None:
    whole = json.dumps(VALID[kind], ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(0, len(whole) - 1))
    assert refusal(whole[:cut]).code == "invalid_json"
    joined = whole[: cut + 1] + whole
    assert refusal(joined).code == "invalid_json"


@given(st.text())
def test_no_text_does_anything_but_be_read_or_refused(text: str) -> None:
    try:
        decode_client_frame(text)
    except FrameError as error:
        assert error.code in ("invalid_json", "invalid_field", "unknown_type")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    ),
    st.sampled_from(sorted(VALID)),
    st.data(),
)
def test_no_json_in_place_of_a_field_does_anything_but_be_read_or_refused(
    value: Any, kind: str, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from(sorted(VALID[kind])))
    try:
        decode_client_frame(json.dumps({**VALID[kind], field: value}))
    except FrameError as error:
        assert error.code in ("invalid_field", "unknown_type", "invalid_json")


events = st.builds(
    lambda seq, text: msgspec.json.encode({"seq": seq, "data": {"text": text}}),
    st.integers(1, 10**6),
    st.text(),
)


@given(st.lists(events), st.integers(0, 10**9), st.integers(0, 50))
def test_a_batch_is_joined_to_a_frame_that_reads_as_events(
    stored: list[bytes], start: int, hidden: int
) -> None:
    batch = Batch(Mark("k3_-"), Seq(start), Seq(start + len(stored) + hidden), hidden, stored)
    frame = msgspec.json.decode(encode_batch(batch), type=Events)
    assert (frame.mark, frame.from_, frame.to, frame.hidden) == ("k3_-", start, batch.to, hidden)
    assert [bytes(raw) for raw in frame.events] == stored
    assert frame.to - frame.from_ == len(frame.events) + frame.hidden


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Pong(id="p"), '{"type":"pong","id":"p"}'),
        (
            Goodbye(code="reset", reason="Gone.", retry=True),
            '{"type":"goodbye","code":"reset","reason":"Gone.","retry":true}',
        ),
    ],
)
def test_a_frame_of_the_server_is_written_with_its_type_first(
    frame: AnyServerFrame, text: str
) -> None:
    assert encode_frame(frame) == text
