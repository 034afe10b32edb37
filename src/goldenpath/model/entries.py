"""An entry of a user's log, and its codec: stable type names, one version number for them all.

Stored and wire form of an event are the same bytes, so that delivering needs no decoding:
`{"seq":41,"type":"tool_completed","time":"...Z","thread_id":"...","run_id":"...","data":{...}}`.
Journal records have the same envelope and are marked internal beside it. Shapes only grow; a
changed one raises `CODEC_VERSION` and adds a step to `_UPGRADES`, and a recorded history in
`tests/histories/`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Union

import msgspec

from goldenpath.errors import UNREADABLE, CodecError
from goldenpath.model.events import EVENT_TYPES, AnyEvent, ApprovalRequested, Event
from goldenpath.model.ids import RunId, Seq, ThreadId
from goldenpath.model.journal import RECORD_TYPES, AnyRecord

CODEC_VERSION = 1
"""Version of the stored shapes; a store keeps it beside each group of entries."""

Body = AnyEvent | AnyRecord


class Entry(msgspec.Struct, frozen=True):
    """One item of a user's log. `time_ms` is Unix milliseconds."""

    seq: Seq
    time_ms: int
    thread_id: ThreadId | None
    run_id: RunId | None
    body: Body

    @property
    def internal(self) -> bool:
        """True for a journal record, which no client ever sees."""
        return not isinstance(self.body, Event)


class EncodedEntry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An entry as stored: its seq, its type's name, whether it is internal, its JSON.

    `json` is empty for an entry that was pruned or erased: the seq stays, the content is gone.
    """

    seq: int
    type: str
    internal: bool
    json: bytes

    @property
    def hidden(self) -> bool:
        """True where a reader counts the entry instead of seeing it."""
        return self.internal or not self.json


class _OutEnvelope(msgspec.Struct):
    seq: int
    type: str
    time: str
    thread_id: str | None
    run_id: str | None
    data: Any


_TYPES: dict[str, type[Any]] = {**EVENT_TYPES, **RECORD_TYPES}
TYPE_NAMES: dict[type[Any], str] = {type_: name for name, type_ in _TYPES.items()}

_encoder = msgspec.json.Encoder()


def _envelope(name: str, body: type[Any]) -> type[Any]:
    """The envelope of one type: told from the others by its name, so that one pass reads both."""
    ids: Any = str | None
    return msgspec.defstruct(
        f"Envelope_{name}",
        [("seq", Seq), ("time", str), ("thread_id", ids), ("run_id", ids), ("data", body)],
        tag_field="type",
        tag=name,
    )


_envelopes: Any = Union[tuple(_envelope(*named) for named in _TYPES.items())]  # noqa: UP007
_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(_envelopes)

Upgrade = Callable[[str, dict[str, Any]], tuple[str, dict[str, Any]]]
_UPGRADES: dict[int, Upgrade] = {}
"""From version n to n+1: (type name, data) to the same in the next version."""


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def format_time(time_ms: int) -> str:
    """Format Unix milliseconds as RFC 3339 UTC with milliseconds.

    Raises ValueError for a moment outside of the years 1 to 9999.
    """
    seconds, milliseconds = divmod(time_ms, 1000)
    return f"{_format_seconds(seconds)}.{milliseconds:03}Z"


@lru_cache(maxsize=64)  # entries that follow each other are mostly of the same second
def _format_seconds(seconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"{seconds} s is no moment of the years 1 to 9999") from error
    return moment.replace(tzinfo=None).isoformat(timespec="seconds")


@lru_cache(maxsize=64)  # the entries of an append have the same time
def parse_time(text: str) -> int:
    """Parse what `format_time` made, to Unix milliseconds. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return (moment - _EPOCH) // _MILLISECOND


def encode(entry: Entry) -> EncodedEntry:
    """Encode an entry. Raises `CodecError` for text that is not Unicode (lone surrogates)."""
    body = entry.body
    name = TYPE_NAMES[type(body)]
    try:
        data = _encoder.encode(
            _OutEnvelope(
                entry.seq, name, format_time(entry.time_ms), entry.thread_id, entry.run_id, body
            )
        )
    except (UnicodeEncodeError, TypeError, ValueError, RecursionError) as error:
        raise CodecError(f"{name} cannot be stored: {error}") from error
    return EncodedEntry(entry.seq, name, name not in EVENT_TYPES, data)


def decode(encoded: EncodedEntry, version: int = CODEC_VERSION) -> Entry:
    """Decode an entry that is not hidden by pruning. Raises `CodecError`."""
    try:
        json = encoded.json if version == CODEC_VERSION else _upgrade(encoded.json, version)
        envelope = _decoder.decode(json)
        body = envelope.data
        if type(body) is ApprovalRequested:
            parse_time(body.expires)  # or no projection could take it
        return Entry(
            envelope.seq,
            parse_time(envelope.time),
            envelope.thread_id,
            envelope.run_id,
            body,
        )
    except (KeyError, ValueError, *UNREADABLE) as error:
        raise CodecError(f"entry {encoded.seq} ({encoded.type}) cannot be read: {error}") from error


def _upgrade(json: bytes, version: int) -> bytes:
    envelope = msgspec.json.decode(json)
    name, data = envelope["type"], envelope["data"]
    if version > CODEC_VERSION:
        raise CodecError(f"version {version} of {name} is newer than this software")
    for step in range(version, CODEC_VERSION):
        name, data = _UPGRADES[step](name, data)
    return _encoder.encode({**envelope, "type": name, "data": data})
