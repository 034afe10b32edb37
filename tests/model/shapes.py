"""Hypothesis strategies for every shape of the model, made from its types."""

from __future__ import annotations

from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from goldenpath.model import entries
from goldenpath.model.entries import Entry, format_time
from goldenpath.model.ids import RunId, Seq, ThreadId

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
INTEGERS = st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
EXTREMES = st.sampled_from(
    [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 2**64 - 1, 1e308, 5e-324, -0.0, 0.1]
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | EXTREMES | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
MOMENTS = st.integers(0, 253_402_300_799_999).map(format_time)
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: INTEGERS,
    float: FLOATS,
    bool: st.booleans(),
    Any: JSON,
    type(None): st.none(),
}


def examples(count: int) -> settings:
    """So many examples, however slow the machine is."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that the model's shapes use."""
    if kind in _PLAIN:
        return _PLAIN[kind]
    if hasattr(kind, "__supertype__"):
        return of(kind.__supertype__)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is list:
        return st.lists(of(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=3)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        fields = {
            name: MOMENTS if name == "expires" else of(hints[name])
            for name in kind.__struct_fields__
        }
        return st.builds(kind, **fields)
    return st.one_of(*(of(each) for each in arguments))


def entries_of(kind: Any) -> st.SearchStrategy[Entry]:
    """Entries with a body of that type, at any time from 1970 to 9999."""
    return st.builds(
        Entry,
        st.integers(1, 2**63 - 1).map(Seq),
        st.integers(0, 253_402_300_799_999),
        st.none() | TEXT.map(ThreadId),
        st.none() | TEXT.map(RunId),
        of(kind),
    )


ALL_TYPES = sorted(entries.TYPE_NAMES.items(), key=lambda item: item[1])
