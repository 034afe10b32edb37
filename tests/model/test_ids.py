"""Identifiers: the format of those that are minted, the alphabet of those that clients choose."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goldenpath.model.ids import is_client_id, uuid7
from tests.model.shapes import examples

TIMES = st.integers(0, 2**48 - 1)
BITS = st.integers(0, 2**74 - 1)


@examples(100)
@given(TIMES, BITS)
def test_uuid7_is_one(time_ms: int, bits: int) -> None:
    """RFC 9562: version 7, its variant, the time first, lower case with hyphens."""
    text = uuid7(time_ms, bits)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == time_ms


@examples(100)
@given(TIMES, BITS, TIMES, BITS)
def test_uuid7_keeps_all_it_is_given(time: int, bits: int, later: int, others: int) -> None:
    """Other times or bits are another id, and ids sort by time."""
    one, other = uuid7(time, bits), uuid7(later, others)
    assert (one == other) == ((time, bits) == (later, others))
    assert (one < other) == ((time, bits) < (later, others))


def test_the_example_of_the_rfc() -> None:
    """RFC 9562, appendix A.6."""
    assert uuid7(0x017F22E279B0, 0xCC3 << 62 | 0x18C4DC0C0C07398F) == (
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"
    )


@pytest.mark.parametrize("text", ["a", "A-Z_0-9", "x" * 64])
def test_ids_of_clients(text: str) -> None:
    """Letters, digits, hyphen, underscore; 1 to 64 of them."""
    assert is_client_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a\n", "é", "a/b", "a\x00", "٣"])
def test_not_ids_of_clients(text: str) -> None:
    """Anything else is refused, also what merely looks like a letter or digit."""
    assert not is_client_id(text)
