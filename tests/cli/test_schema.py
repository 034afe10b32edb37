"""`goldenpath schema` describes what is on the wire."""

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from goldenpath.model.entries import Entry, encode
from goldenpath.model.events import EVENT_TYPES, ThreadCreated
from goldenpath.model.ids import Mark, Seq, ThreadId
from goldenpath.store.interface import Batch
from goldenpath.wire.frames import Accepted, encode_batch, encode_frame
from tests.cli.conftest import Invoke


@pytest.fixture
def validator(goldenpath: Invoke) -> Any:
    code, out, _ = goldenpath("schema")
    assert code == 0
    document = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(document)
    return jsonschema.Draft202012Validator(document)


def test_every_event_is_in_it(validator: Any) -> None:
    one_of = validator.schema["$defs"]["Event"]["oneOf"]
    names = {
        validator.schema["$defs"][ref["$ref"].rpartition("/")[2]]["properties"]["type"]["const"]
        for ref in one_of
    }
    assert names == set(EVENT_TYPES)


def test_a_stored_event_in_a_frame_is_valid(validator: Any) -> None:
    entry = Entry(Seq(1), 0, ThreadId("t"), None, ThreadCreated(title="tea"))
    frame = encode_batch(Batch(Mark("m"), Seq(0), Seq(1), 0, [encode(entry).json]))
    validator.validate(json.loads(frame))
    broken = json.loads(frame)
    broken["events"][0]["data"] = {"title": 3}
    assert not validator.is_valid(broken)


@pytest.mark.parametrize(
    ("frame", "valid"),
    [
        ({"type": "hello", "device": "d"}, True),
        ({"type": "send", "id": "1", "text": "hi"}, True),
        ({"type": "send", "id": "1"}, False),
        ({"type": "send", "id": "1", "text": "hi", "extra": 1}, False),
        ({"type": "nonsense"}, False),
    ],
)
def test_frames_of_a_client(validator: Any, frame: dict[str, Any], valid: bool) -> None:
    assert validator.is_valid(frame) is valid


def test_frames_of_the_server(validator: Any) -> None:
    frame = Accepted(
        id="1", thread_id=None, message_id=None, run_id=None, seq=None, duplicate=False
    )
    validator.validate(msgspec.json.decode(encode_frame(frame)))
