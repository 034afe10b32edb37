"""Server-Sent Events: the exact bytes, and where a reader says it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.errors import InvalidError
from goldenpath.model.ids import Mark, Seq
from goldenpath.store.interface import Batch, Position
from goldenpath.wire.frames import Goodbye, encode_batch, encode_frame
from goldenpath.wire.sse import encode_block, parse_position


def test_a_block_is_an_id_line_a_data_line_and_an_empty_one() -> None:
    batch = Batch(Mark("k3Jx"), Seq(12), Seq(14), 1, [b'{"seq":13}'])
    assert encode_block(encode_batch(batch), Position(Mark("k3Jx"), Seq(14))) == (
        b"id: k3Jx:14\n"
        b'data: {"type":"events","mark":"k3Jx","from":12,"to":14,"hidden":1,"events":[{"seq":13}]}\n'
        b"\n"
    )


@given(st.text())
def test_no_text_breaks_the_framing(reason: str) -> None:
    """JSON escapes every line end that the framing knows."""
    frame = encode_frame(Goodbye(code="reset", reason=reason, retry=True)).encode()
    block = encode_block(frame, Position(Mark("m"), Seq(1)))
    lines = block.split(b"\n")
    assert [line[:5] for line in lines] == [b"id: m", b"data:", b"", b""]
    assert b"\r" not in block


@pytest.mark.parametrize(
    ("last", "after", "mark", "position"),
    [
        (None, None, None, None),
        ("", None, None, None),
        ("k3_-:14", None, None, Position(Mark("k3_-"), Seq(14))),
        ("k3:14", "3", "other", Position(Mark("k3"), Seq(14))),
        ("k3:14", "3", None, Position(Mark("k3"), Seq(14))),
        ("0:0", None, None, Position(Mark("0"), Seq(0))),
        (None, "0", None, Position(Mark("0"), Seq(0))),
        (None, "7", "k3", Position(Mark("k3"), Seq(7))),
    ],
)
def test_the_last_event_id_wins_over_the_query(
    last: str | None, after: str | None, mark: str | None, position: Position | None
) -> None:
    assert parse_position(last, after, mark) == position


@pytest.mark.parametrize(
    ("last", "after", "mark"),
    [
        ("14", None, None),
        ("k3:", None, None),
        ("k3:-1", None, None),
        ("k3:1\n", None, None),
        ("k3:" + "9" * 40, None, None),
        (None, "7", None),
        (None, "-1", "k3"),
        (None, "x", "k3"),
        (None, "٣", "k3"),
        (None, "9" * 30, "k3"),
        (None, None, "k3"),
        (None, "1", "m" * 70),
    ],
)
def test_what_is_no_position_is_refused(
    last: str | None, after: str | None, mark: str | None
) -> None:
    with pytest.raises(InvalidError) as caught:
        parse_position(last, after, mark)
    assert caught.value.code == "invalid_field"


@given(st.from_regex(r"\A[A-Za-z0-9_-]{1,64}\Z"), st.integers(0, 2**53 - 1))
def test_the_id_that_was_sent_is_read_back(mark: str, cursor: int) -> None:
    position = Position(Mark(mark), Seq(cursor))
    sent = encode_block(b"{}", position).split(b"\n")[0].removeprefix(b"id: ").decode()
    assert parse_position(sent, None, None) == position
