"""The generated schema accepts every event that can be sent, and nothing that is no event."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from goldenpath.model.entries import encode
from goldenpath.model.events import EVENT_TYPES
from goldenpath.model.schema import DIALECT, event_schemas, reference
from tests.model.author import a_log

DEFINITIONS = event_schemas()
DOCUMENT = {"$schema": DIALECT, **reference("Event"), "$defs": DEFINITIONS}
VALIDATOR = jsonschema.Draft202012Validator(DOCUMENT)


def test_it_is_a_schema() -> None:
    """Valid JSON Schema 2020-12, with no reference that leads nowhere."""
    jsonschema.Draft202012Validator.check_schema(DOCUMENT)
    text = json.dumps(DOCUMENT)
    for part in text.split('"#/$defs/')[1:]:
        assert part.split('"')[0] in DEFINITIONS


def test_every_event_has_its_definition() -> None:
    """Data and envelope of each type, and nothing internal."""
    envelopes = {name for name in DEFINITIONS if name.endswith("Event") and name != "Event"}
    assert envelopes == {f"{kind.__name__}Event" for kind in EVENT_TYPES.values()}
    assert {d["properties"]["type"]["const"] for d in map(DEFINITIONS.get, envelopes) if d} == set(
        EVENT_TYPES
    )
    assert "StepCompleted" not in DEFINITIONS


@pytest.mark.parametrize("seed", range(8))
def test_what_is_stored_is_valid(seed: int) -> None:
    """The bytes of real logs validate."""
    for entry in a_log(seed, 30):
        if not entry.internal:
            VALIDATOR.validate(json.loads(encode(entry).json))


def event(**changes: Any) -> dict[str, Any]:
    data = {"part_id": "p", "offset": 0, "text": "x"}
    return {
        "seq": 1,
        "type": "agent_output",
        "time": "2026-01-02T03:04:05.678Z",
        "thread_id": "t",
        "run_id": "r",
        "data": data,
        **changes,
    }


def test_what_grew_is_valid() -> None:
    """Fields with a default may be absent, as in entries older than the field; others may come."""
    VALIDATOR.validate(event())
    VALIDATOR.validate(event(mood="good"))


@pytest.mark.parametrize(
    "changes",
    [
        {"seq": 0},
        {"seq": "1"},
        {"type": "agent_dreaming"},
        {"run_id": None},
        {"data": {}},
        {"data": {"part_id": "p", "offset": 0, "text": None}},
    ],
)
def test_what_is_no_event_is_not(changes: dict[str, Any]) -> None:
    """Wrong numbers, types, owners and data."""
    assert not VALIDATOR.is_valid(event(**changes))
