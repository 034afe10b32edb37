"""Durations and sizes are read with their units, and shown as a person writes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.config.units import format_duration, format_size, parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60s", 60), ("5m", 300), ("90d", 7776000), ("250ms", 0.25), ("1.5h", 5400), ("7", 7)],
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "5 parsecs", "-1s", "1s2s", "nan", "٣s "[1:]])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="60s"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), ("64KiB", 65536), ("1.5 mib", 1572864), ("1GiB", 2**30)]
)
def test_a_size_has_a_unit(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64KB", "-1", "0.3", "lots"])
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="64KiB"):
        parse_size(text)


@given(st.integers(0, 10**12))
def test_a_shown_size_reads_back_the_same(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.integers(0, 10**10))
def test_a_shown_duration_reads_back_the_same(millis: int) -> None:
    assert round(parse_duration(format_duration(millis / 1000)) * 1000) == millis
