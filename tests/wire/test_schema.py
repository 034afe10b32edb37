"""The JSON Schema of the frames says what the decoder does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from goldenpath.wire.frames import FrameError, decode_client_frame
from goldenpath.wire.schema import json_schema
from tests.wire.test_frames import REQUIRED, VALID

SCHEMA = json_schema()


def valid(frame: Any) -> bool:
    return Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": "#/$defs/ClientFrame"}]}).is_valid(
        frame
    )


def decoded(frame: Any) -> bool:
    try:
        decode_client_frame(json.dumps(frame))
    except FrameError:
        return False
    return True


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("kind", VALID)
def test_schema_and_decoder_agree(kind: str) -> None:
    frame = VALID[kind]
    changed: list[Any] = [frame, {**frame, "extra": 1}, {**frame, "type": "events"}]
    changed += [{k: v for k, v in frame.items() if k != name} for name in frame]
    changed += [
        {**frame, name: value} for name in frame for value in (5, -1, None, "", "é", [], {})
    ]
    for one in changed:
        assert valid(one) == decoded(one), one
    assert all(not valid({k: v for k, v in frame.items() if k != name}) for name in REQUIRED[kind])
