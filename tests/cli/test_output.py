"""Tables stay tables whatever users wrote."""

import pytest

from goldenpath.cli.output import cut, json_time, print_json, print_table, show_time


def test_a_table_is_aligned_and_control_characters_are_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table(("A", "LONGER", "TEXT"), [("one", "2", "a\nb"), ("1", "two", "\x1b[31mred")])
    assert capsys.readouterr().out.splitlines() == [
        "A    LONGER  TEXT",
        "one  2       a⏎b",
        "1    two     \\x1b[31mred",
    ]


def test_an_object_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": "x\ny", "b": "ä"})
    assert capsys.readouterr().out == '{"a":"x\\ny","b":"ä"}\n'


def test_what_is_cut_shows_it() -> None:
    assert cut("abcdef", 4) == "abc…"
    assert cut("abcd", 4) == "abcd"
    assert cut("abcd", None) == "abcd"


def test_no_time_is_no_time() -> None:
    assert show_time(None) == "-"
    assert json_time(None) is None
    assert json_time(0) == "1970-01-01T00:00:00.000Z"
