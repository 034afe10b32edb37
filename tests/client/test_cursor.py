"""A reader accepts each entry once and in order, whatever the sockets do."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.client.cursor import Fresh, Position, Reader, Repeat, Reset, Violation
from goldenpath.wire.frames import Events, Welcome
from tests.client.fake_server import TIME

KINDS = ["seen", "hidden", "unknown"]


def event(seq: int, kind: str) -> msgspec.Raw:
    row = {"seq": seq, "type": "agent_thinking", "time": TIME, "thread_id": "t", "run_id": "r"}
    if kind == "unknown":
        row["type"] = "event_of_the_future"
    return msgspec.Raw(msgspec.json.encode({**row, "data": {"text": str(seq)}}))


def frame(from_: int, to: int, hidden: int, events: list[msgspec.Raw]) -> Events:
    return Events(mark="m", from_=from_, to=to, hidden=hidden, events=events)


def cut(log: list[str], from_: int, to: int) -> Events:
    """The frame of the entries after `from_` up to `to`."""
    shown = [
        event(seq, log[seq - 1]) for seq in range(from_ + 1, to + 1) if log[seq - 1] != "hidden"
    ]
    return frame(from_, to, to - from_ - len(shown), shown)


def welcome(cursor: int, *, reset: bool = False, mark: str = "m") -> Welcome:
    return Welcome(
        user_id="u",
        mark=mark,
        head=99,
        cursor=cursor,
        reset=reset,
        limits={},
        agents=[],
        version="1",
    )


logs = st.lists(st.sampled_from(KINDS), max_size=30)


@given(logs, st.data())
def test_any_cuts_and_repeats_and_reorderings_give_each_event_once(
    log: list[str], data: st.DataObject
) -> None:
    """A socket that may repeat and reorder frames, and is replaced whenever one does not fit."""
    reader, seen = Reader(Position("0", 0)), []
    for _ in range(200):
        assert reader.position is not None
        cursor = reader.position.cursor
        if cursor == len(log):
            break
        assert reader.welcome(welcome(cursor)) == Fresh([])
        bounds = sorted({cursor, len(log), *data.draw(st.lists(st.integers(cursor, len(log))))})
        frames = [cut(log, a, b) for a, b in zip(bounds, bounds[1:], strict=False)]
        order = data.draw(st.permutations(range(len(frames))))
        repeated = [n for n in order for _ in range(data.draw(st.integers(1, 2)))]
        for n in repeated:
            result = reader.feed(frames[n])
            if isinstance(result, Violation):
                break
            if isinstance(result, Fresh):
                seen += [entry.seq for entry in result.events]
        else:
            continue
        # The socket was closed; the next one brings the next frame at least.
        step = (
            data.draw(st.integers(1, len(log) - reader.position.cursor))
            if (reader.position.cursor < len(log))
            else 0
        )
        if step:
            result = reader.feed(cut(log, reader.position.cursor, reader.position.cursor + step))
            assert isinstance(result, Fresh)
            seen += [entry.seq for entry in result.events]
    assert seen == [seq for seq, kind in enumerate(log, 1) if kind == "seen"]
    assert reader.counts.events == len(seen)
    assert reader.counts.hidden == log.count("hidden")
    assert reader.counts.unknown == log.count("unknown")


@given(logs.filter(bool), st.data())
def test_a_frame_that_lacks_anything_is_a_violation_and_moves_nothing(
    log: list[str], data: st.DataObject
) -> None:
    to = data.draw(st.integers(1, len(log)))
    good = cut(log, 0, to)
    bad = data.draw(
        st.sampled_from(
            [
                frame(1, to + 1, good.hidden, good.events),
                frame(0, to, good.hidden + 1, good.events),
                frame(0, to + 1, good.hidden, good.events),
                frame(0, to, -1, good.events),
                *([frame(0, to, good.hidden, good.events[:-1])] if good.events else []),
                *(
                    [frame(0, to, good.hidden, [*good.events[:-1], good.events[0]])]
                    if len(good.events) > 1
                    else []
                ),
                *(
                    [frame(0, to, good.hidden, list(reversed(good.events)))]
                    if len(good.events) > 1
                    else []
                ),
            ]
        )
    )
    reader = Reader(Position("0", 0))
    assert isinstance(reader.feed(bad), Violation)
    assert reader.position == Position("0", 0)
    assert isinstance(reader.feed(good), Fresh)
    assert reader.position == Position("m", to)


def test_a_frame_read_already_is_a_repeat() -> None:
    reader = Reader(Position("m", 4))
    assert reader.feed(cut(["seen"] * 4, 2, 4)) == Repeat()
    assert reader.counts.repeats == 1


def test_a_frame_that_overlaps_is_a_violation() -> None:
    reader = Reader(Position("m", 3))
    assert isinstance(reader.feed(cut(["seen"] * 4, 2, 4)), Violation)


def test_nothing_is_read_before_the_welcome() -> None:
    assert isinstance(Reader().feed(cut(["seen"], 0, 1)), Violation)


def test_the_first_welcome_says_where_reading_begins() -> None:
    reader = Reader()
    assert reader.welcome(welcome(7)) == Fresh([])
    assert reader.position == Position("m", 7)


def test_a_welcome_elsewhere_than_asked_is_a_violation() -> None:
    reader = Reader(Position("m", 3))
    assert isinstance(reader.welcome(welcome(5)), Violation)
    assert reader.position == Position("m", 3)


def test_a_reset_moves_to_another_log() -> None:
    reader = Reader(Position("m", 3))
    assert reader.welcome(welcome(2, reset=True, mark="n")) == Reset()
    assert reader.position == Position("n", 2)
    assert reader.counts.resets == 1
