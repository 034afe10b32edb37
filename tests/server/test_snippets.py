"""Snippets: the place of the first word that was searched for."""

from goldenpath.server.snippets import snippet


def test_a_short_text_is_shown_whole() -> None:
    assert snippet("The quick fox", ["qui"]) == "The quick fox"


def test_a_long_text_is_cut_around_the_first_match_without_case() -> None:
    text = "x " * 200 + "Needle " + "y " * 200
    found = snippet(text, ["need"])
    assert "Needle" in found
    assert found.startswith("…")
    assert found.endswith("…")
    assert len(found) < 140


def test_line_ends_do_not_break_a_list() -> None:
    assert snippet("one\n\ntwo\tthree", ["two"]) == "one two three"
