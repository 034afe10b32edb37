"""The native protocol's state machine, without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.model.commands import Cancel, Decide, Receipt, Send
from goldenpath.model.ids import ApprovalId, CommandId, Mark, MessageId, RunId, Seq, ThreadId
from goldenpath.store.interface import Position
from goldenpath.wire import native
from goldenpath.wire.frames import Accepted, Pong, Refused
from goldenpath.wire.native import (
    Acknowledge,
    Action,
    Close,
    NativeSession,
    Reauthenticate,
    Reply,
    Start,
    Submit,
)


def receive(session: NativeSession, **frame: Any) -> Action:
    return session.receive(json.dumps(frame))


@pytest.fixture
def session() -> NativeSession:
    """A session that said hello."""
    session = NativeSession()
    assert isinstance(receive(session, type="hello", device="d", cursor=None), Start)
    return session


def refused_code(action: Action) -> tuple[str | None, str]:
    assert isinstance(action, Reply), action
    assert isinstance(action.frame, Refused), action
    return action.frame.id, action.frame.error.code


@pytest.mark.parametrize(
    ("hello", "position"),
    [
        ({}, None),
        ({"cursor": None, "mark": None}, None),
        ({"cursor": 0}, Position(Mark("0"), Seq(0))),
        ({"cursor": 0, "mark": "0"}, Position(Mark("0"), Seq(0))),
        ({"cursor": 12, "mark": "k3"}, Position(Mark("k3"), Seq(12))),
    ],
)
def test_hello_says_where_to_begin(hello: dict[str, Any], position: Position | None) -> None:
    session = NativeSession()
    assert receive(session, type="hello", device="d", **hello) == Start("d", position)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        '{"type":"ping","id":"a"}',
        '{"type":"send","id":"a","text":"x"}',
        '{"type":"ack","cursor":0}',
        '{"type":"hello"}',
        '{"type":"hello","device":"a b"}',
        '{"type":"hello","device":"d","cursor":3}',
        '{"type":"hello","device":"d","cursor":-3,"mark":"m"}',
        '{"type":"hello","device":"d","mark":"m"}',
        '{"type":"hello","device":"d","extra":1}',
        '{"type":"welcome"}',
    ],
)
def test_anything_but_a_good_hello_closes_with_4400(text: str) -> None:
    action = NativeSession().receive(text)
    assert isinstance(action, Close)
    assert action.code == 4400
    assert len(action.reason.encode()) <= 123, "a close frame holds no more"


def test_a_binary_frame_instead_of_hello_closes_too() -> None:
    action = NativeSession().receive_binary()
    assert isinstance(action, Close)
    assert action.code == native.BAD_HELLO


def test_hello_comes_once(session: NativeSession) -> None:
    action = receive(session, type="hello", device="d", cursor=None)
    assert isinstance(action, Close)
    assert action.code == 4400


def test_commands_are_submitted_under_their_ids(session: NativeSession) -> None:
    assert receive(session, type="send", id="c1", text="hi", thread_id=None) == Submit(
        CommandId("c1"), Send(text="hi")
    )
    assert receive(
        session, type="send", id="c2", text="hi", thread_id="t", agent="a", when_busy="reject"
    ) == Submit(
        CommandId("c2"),
        Send(thread_id=ThreadId("t"), text="hi", agent="a", when_busy="reject"),
    )
    assert receive(session, type="cancel", id="c3", run_id="r") == Submit(
        CommandId("c3"), Cancel(run_id=RunId("r"))
    )
    assert receive(
        session, type="decide", id="c4", approval_id="a", decision="deny", reason="no"
    ) == Submit(CommandId("c4"), Decide(approval_id=ApprovalId("a"), decision="deny", reason="no"))


def test_what_is_not_valid_is_refused_and_the_session_goes_on(session: NativeSession) -> None:
    assert refused_code(session.receive("{")) == (None, "invalid_json")
    assert refused_code(receive(session, type="send", id="c1")) == ("c1", "invalid_field")
    assert refused_code(receive(session, type="events", id="c1")) == ("c1", "unknown_type")
    assert refused_code(session.receive_binary()) == (None, "invalid_json")
    assert receive(session, type="ping", id="p") == Reply(Pong(id="p"))


def test_renew_asks_to_check_the_token(session: NativeSession) -> None:
    assert receive(session, type="renew", token="t") == Reauthenticate("t")


def test_an_ack_beyond_what_was_sent_is_refused(session: NativeSession) -> None:
    assert refused_code(receive(session, type="ack", cursor=1)) == (None, "invalid_field")
    session.sent(Position(Mark("a"), Seq(5)))
    assert receive(session, type="ack", cursor=5) == Acknowledge(Position(Mark("a"), Seq(5)))
    assert refused_code(receive(session, type="ack", cursor=6)) == (None, "invalid_field")


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=20), st.data())
def test_an_ack_is_a_position_of_the_log_that_was_sent(
    frames: list[tuple[int, bool]], data: st.DataObject
) -> None:
    """Its mark is of the same activation as its entry, or of a newer one."""
    session = NativeSession()
    receive(session, type="hello", device="d", cursor=None)
    cursor, activation, begins = 0, 0, {0: 0}
    for size, anew in frames:
        if anew:
            activation += 1
            begins[activation] = cursor
        cursor += size
        session.sent(Position(Mark(f"m{activation}"), Seq(cursor)))
    asked = data.draw(st.integers(0, cursor + 3))
    action = receive(session, type="ack", cursor=asked)
    if asked > cursor:
        assert refused_code(action) == (None, "invalid_field")
    else:
        assert isinstance(action, Acknowledge)
        assert action.position.cursor == asked
        assert action.position.mark == (f"m{activation}" if frames else "0")


def test_an_answer_has_the_receipts_ids_and_says_if_it_is_one_again() -> None:
    receipt = Receipt(
        command_id=CommandId("c"),
        body_hash="h",
        thread_id=ThreadId("t"),
        message_id=MessageId("m"),
        run_id=RunId("r"),
        seq=3,
    )
    assert native.accepted(receipt, duplicate=True) == Accepted(
        id="c", thread_id="t", message_id="m", run_id="r", seq=3, duplicate=True
    )
