"""Pieces join to the answer, restarts and replays included."""

from hypothesis import given
from hypothesis import strategies as st

from goldenpath.client import Answer
from goldenpath.model.events import AgentOutput
from goldenpath.model.ids import PartId


def output(part: str, offset: int, text: str, *, restart: bool = False) -> AgentOutput:
    return AgentOutput(part_id=PartId(part), offset=offset, text=text, restart=restart)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.text()), max_size=20))
def test_parts_are_joined_in_the_order_of_their_first_pieces(pieces: list[tuple[str, str]]) -> None:
    answer, parts = Answer(), dict[str, str]()
    for part, text in pieces:
        before = parts.get(part, "")
        assert answer.add(output(part, len(before), text)) is False
        parts[part] = before + text
    assert answer.text == "".join(parts.values())


def test_a_restart_drops_what_its_part_had_and_keeps_its_place() -> None:
    answer = Answer()
    answer.add(output("a", 0, "one "))
    answer.add(output("b", 0, "two"))
    assert answer.add(output("a", 0, "1 ", restart=True)) is True
    assert answer.text == "1 two"


def test_an_empty_restart_closes_a_part() -> None:
    answer = Answer()
    answer.add(output("a", 0, "gone"))
    assert answer.add(output("a", 0, "", restart=True)) is True
    assert answer.text == ""
