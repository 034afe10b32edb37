"""JSON Schema (2020-12) of every frame and event, made from the types that the code uses."""

from __future__ import annotations

from typing import Any, get_args

from goldenpath.model.schema import DIALECT, event_schemas, one_of, reference, schema_of
from goldenpath.wire.frames import AnyClientFrame, AnyServerFrame


def json_schema() -> dict[str, Any]:
    """Make the schema: `$defs` holds `ClientFrame`, `ServerFrame`, `Event` and all they consist of.

    The document itself accepts any frame of either side. A client that meets an event of a type
    newer than this schema skips it.
    """
    clients, servers = get_args(AnyClientFrame), get_args(AnyServerFrame)
    defs = schema_of([*clients, *servers]) | event_schemas()
    defs["Events"]["properties"]["events"]["items"] = reference("Event")
    defs["ClientFrame"] = one_of(t.__name__ for t in clients)
    defs["ServerFrame"] = one_of(t.__name__ for t in servers)
    return {
        "$schema": DIALECT,
        "title": "goldenpath.v1",
        "anyOf": [reference("ClientFrame"), reference("ServerFrame")],
        "$defs": dict(sorted(defs.items())),
    }
