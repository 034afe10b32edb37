"""JSON Schema (2020-12) of what is sent: made from the types that the code uses.

Fields with a default are not required: shapes grow, and an entry that was stored before a field
was added is sent as it was stored. Fields may be added, so events are not closed to others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from goldenpath.model.events import EVENT_TYPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]


def schema_of(types: Iterable[type[Any]]) -> dict[str, Schema]:
    """The definitions (`$defs`) of types by their names, with all that they refer to."""
    _, definitions = msgspec.json.schema_components(types, ref_template=_REF)
    return definitions


def reference(name: str) -> Schema:
    """A schema that is the definition of that name."""
    return {"$ref": _REF.format(name=name)}


def one_of(names: Iterable[str]) -> Schema:
    """A schema that is exactly one of the named definitions."""
    return {"oneOf": [reference(name) for name in names]}


def event_schemas() -> dict[str, Schema]:
    """The definitions of all events as they are sent: `Event` is any of them.

    A type has a definition of its data under its own name (`AgentOutput`), and one of the whole
    envelope (`AgentOutputEvent`). A reader that meets a type newer than this schema skips it.
    """
    definitions = schema_of(EVENT_TYPES.values())
    names = {type_name: type_.__name__ for type_name, type_ in EVENT_TYPES.items()}
    for type_name, name in names.items():
        definitions[f"{name}Event"] = _envelope(type_name, reference(name))
    definitions["Event"] = one_of(f"{name}Event" for name in names.values())
    return definitions


_REF = "#/$defs/{name}"


def _envelope(type_name: str, data: Schema) -> Schema:
    """The one envelope around the data of a type; only a thread's own events have no run."""
    identifier: Schema = {"type": "string", "format": "uuid"}
    return {
        "type": "object",
        "properties": {
            "seq": {"type": "integer", "minimum": 1},
            "type": {"const": type_name},
            "time": {"type": "string", "format": "date-time"},
            "thread_id": identifier,
            "run_id": {"type": "null"} if type_name.startswith("thread_") else identifier,
            "data": data,
        },
        "required": ["seq", "type", "time", "thread_id", "run_id", "data"],
    }
