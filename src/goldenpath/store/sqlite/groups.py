"""What the tail holds: commit groups of operations, encoded as one blob each.

The shapes are stored: they only grow (fields with a default at the end).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from goldenpath.errors import UNREADABLE, CodecError
from goldenpath.model.entries import CODEC_VERSION, EncodedEntry
from goldenpath.model.events import RunError


class Operation(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=True, tag_field="kind"):
    """Base: something durable that happens to one user."""

    user: str


class Submitted(Operation, tag="s", frozen=True, array_like=True, gc=False):
    """A command that waits."""

    command_id: str
    body: bytes
    body_hash: str


class RefusedFor(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A waiting command that an append refuses for now."""

    command_id: str
    error: RunError


class Appended(Operation, tag="a", frozen=True, array_like=True, gc=False):
    """An append that was accepted; `after` is the head before it."""

    after: int
    append_id: str
    entries: Sequence[EncodedEntry]
    refused: list[RefusedFor]
    due_ms: int | None
    erase: list[str]
    """Threads whose entries up to `after` go; `WHOLE_USER` stands for all of them."""
    now_ms: int


class Acquired(Operation, tag="l", frozen=True, array_like=True, gc=False):
    """A lease's new epoch and mark."""

    epoch: int
    mark: str


class Acknowledged(Operation, tag="k", frozen=True, array_like=True, gc=False):
    """A device's cursor; device "" is a reader that cannot acknowledge."""

    device: str
    cursor: int


class Fetched(Operation, tag="f", frozen=True, array_like=True, gc=False):
    """Answers of these runs were read in a history."""

    run_ids: list[str]


AnyOperation = Submitted | Appended | Acquired | Acknowledged | Fetched


class Group(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One row of the tail; `codec` is the version of its entries."""

    codec: int
    operations: list[AnyOperation]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Group)


def encode_group(operations: list[AnyOperation]) -> bytes:
    """Encode a group of this software's codec version."""
    return _encoder.encode(Group(CODEC_VERSION, operations))


def decode_group(body: bytes) -> Group:
    """Decode a row of the tail. Raises `CodecError`."""
    try:
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise CodecError(f"a row of the tail cannot be read: {error}") from error
