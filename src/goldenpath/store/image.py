"""A whole store as one stream of records of no technology: for copies, and for moving a store.

The file: a line that names the format, then records, each with its length before it, and an end
that counts them, so that a file that was cut is noticed. Stored: shapes only grow.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from goldenpath.errors import UNREADABLE, StoreOpenError
from goldenpath.model.commands import Receipt
from goldenpath.model.events import RunError
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow

FORMAT = b"goldenpath image 1\n"
_LENGTH = 8
T = TypeVar("T")


class MarkImage(msgspec.Struct, frozen=True, array_like=True):
    """An activation."""

    epoch: int
    first_seq: int
    mark: str


class RunImage(msgspec.Struct, frozen=True, array_like=True):
    """A run's row, and what is kept beside it."""

    row: RunRow
    pruned: bool
    undelivered: bool
    notice_attempts: int = 0
    notice_ms: int | None = None
    """When somebody outside is to be told that nobody received it; null: never (again)."""


class CommandImage(msgspec.Struct, frozen=True, array_like=True):
    """A command that waits (`error` null) or was refused for now."""

    command_id: str
    body: bytes
    body_hash: str
    error: RunError | None = None
    refused_ms: int = 0


class UserImage(msgspec.Struct, frozen=True, kw_only=True, tag="user"):
    """All of a user but the log, whose chunks follow."""

    user: str
    epoch: int
    head: int
    due_ms: int | None
    marks: list[MarkImage]
    threads: list[ThreadRow]
    runs: list[RunImage]
    approvals: list[ApprovalRow]
    receipts: list[Receipt]
    commands: list[CommandImage]
    acks: dict[str, int]


class ChunkImage(msgspec.Struct, frozen=True, kw_only=True, tag="chunk"):
    """Entries of the user before, written by one activation."""

    first_seq: int
    last_seq: int
    codec: int
    mark: str
    body: bytes


class EndImage(msgspec.Struct, frozen=True, kw_only=True, tag="end"):
    """The end: how many records came before it."""

    records: int


Record = UserImage | ChunkImage
_encode = msgspec.msgpack.Encoder().encode
_decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(UserImage | ChunkImage | EndImage)


async def write_image(records: AsyncIterator[Record], target: Path) -> None:
    """Write to `target`, which appears whole or not at all. Raises OSError."""
    part = target.with_name(target.name + ".part")
    count = 0
    try:
        with part.open("wb") as file:
            file.write(FORMAT)
            async for record in records:
                _put(file.write, record)
                count += 1
            _put(file.write, EndImage(records=count))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _put(write: Callable[[bytes], object], record: Record | EndImage) -> None:
    body = _encode(record)
    write(len(body).to_bytes(_LENGTH, "big") + body)


def check_image(source: Path) -> None:
    """Read all of it. Raises `StoreOpenError` for what is none, or is not whole."""
    for _ in read_image(source):
        pass


def read_image(source: Path) -> Iterator[Record]:
    """Its records. Raises `StoreOpenError` for what is none, or is not whole."""
    try:
        with source.open("rb") as file:
            if file.readline(len(FORMAT)) != FORMAT:
                raise StoreOpenError(f"{source} is no copy of a store that goldenpath backup made")
            count, size = 0, source.stat().st_size
            while True:
                length = int.from_bytes(file.read(_LENGTH), "big")
                if length > size:
                    raise StoreOpenError(f"{source} is damaged: a record is longer than the file")
                record = _decoder.decode(file.read(length))
                if isinstance(record, EndImage):
                    if record.records != count:
                        raise StoreOpenError(f"{source} is damaged: records are missing")
                    return
                count += 1
                yield record
    except UNREADABLE as error:
        raise StoreOpenError(f"{source} is damaged: {error}") from error
    except OSError as error:
        raise StoreOpenError(f"{source} cannot be read: {error.strerror}") from error
