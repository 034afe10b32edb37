"""Reading a whole file whose server is stopped, record by record, to move it elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import msgspec

from goldenpath.errors import UNREADABLE, StoreUnavailableError
from goldenpath.model.commands import Receipt
from goldenpath.model.ids import ORIGIN_MARK
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.chunks import decode_entries, encode_entries
from goldenpath.store.image import (
    ChunkImage,
    CommandImage,
    MarkImage,
    Record,
    RunImage,
    UserImage,
)
from goldenpath.store.sqlite import sql
from goldenpath.store.sqlite.settle import inbox_item
from goldenpath.store.sqlite.store import SqliteStore, open_store
from goldenpath.store.sqlite.threads import Readers

_USERS_AT_ONCE = 200
_CHUNKS_AT_ONCE = 200

_threads = msgspec.json.Decoder(ThreadRow)
_runs = msgspec.json.Decoder(RunRow)
_approvals = msgspec.json.Decoder(ApprovalRow)
_receipts = msgspec.json.Decoder(Receipt)


async def read_records(path: Path) -> AsyncIterator[Record]:
    """Everything in the file. Raises `StoreOpenError` while a server has it."""
    store = await open_store(path)
    try:
        readers = await settled(store)
        last = 0
        while users := await _fetch(
            readers,
            "SELECT user_no, user, epoch, head, due_ms FROM users WHERE user_no > ?"
            " ORDER BY user_no LIMIT ?",
            last,
            _USERS_AT_ONCE,
        ):
            async for record in _records_of(readers, users):
                yield record
            last = users[-1][0]
    except UNREADABLE as error:
        raise StoreUnavailableError(f"{path} holds a row that cannot be read: {error}") from error
    finally:
        await store.close()


async def settled(store: SqliteStore) -> Readers:
    """Readers of a store of which nothing is in memory alone."""
    core = store._core  # pyright: ignore[reportPrivateUsage]
    await core.settler.settle_all()
    return core.readers


async def _fetch(readers: Readers, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    def query(connection: apsw.Connection) -> list[tuple[Any, ...]]:
        return sql.fetch(connection, statement, values)

    return await readers.run(query)


async def _records_of(readers: Readers, users: list[tuple[Any, ...]]) -> AsyncIterator[Record]:
    first, last = users[0][0], users[-1][0]

    async def rows(columns: str, table: str, order: str) -> dict[int, list[tuple[Any, ...]]]:
        found: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
        for row in await _fetch(
            readers,
            f"SELECT user_no, {columns} FROM {table} WHERE user_no BETWEEN ? AND ?"
            f" ORDER BY user_no, {order}",
            first,
            last,
        ):
            found[row[0]].append(row[1:])
        return found

    marks = await rows("epoch, first_seq, mark", "marks", "epoch")
    threads = await rows("body", "threads", "thread_id")
    runs = await rows("body, pruned, undelivered, notice_attempts, notice_ms", "runs", "first_seq")
    approvals = await rows("body", "approvals", "requested_seq, approval_id")
    receipts = await rows("body", "receipts", "command_id")
    commands = await rows("command_id, hex(body)", "inbox", "place")
    acks = await rows("device, cursor", "acks", "device")
    for no, user, epoch, head, due_ms in users:
        activations = [MarkImage(*row) for row in marks[no]]
        yield UserImage(
            user=user,
            epoch=epoch,
            head=head,
            due_ms=due_ms,
            marks=activations,
            threads=[_threads.decode(row[0]) for row in threads[no]],
            runs=[RunImage(_runs.decode(r[0]), bool(r[1]), bool(r[2]), *r[3:]) for r in runs[no]],
            approvals=[_approvals.decode(row[0]) for row in approvals[no]],
            receipts=[_receipts.decode(row[0]) for row in receipts[no]],
            commands=[_command(*row) for row in commands[no]],
            acks=dict(acks[no]),
        )
        async for chunk in _chunks_of(readers, no, activations):
            yield chunk


def _command(command_id: str, text: str) -> CommandImage:
    item = inbox_item(text)
    return CommandImage(command_id, item.body, item.body_hash, item.error, item.refused_ms)


async def _chunks_of(
    readers: Readers, no: int, activations: list[MarkImage]
) -> AsyncIterator[ChunkImage]:
    """Chunks here may span activations; those of an image do not."""
    after = 0
    while found := await _fetch(
        readers,
        "SELECT last_seq, codec, body FROM chunks WHERE user_no = ? AND last_seq > ?"
        " ORDER BY last_seq LIMIT ?",
        no,
        after,
        _CHUNKS_AT_ONCE,
    ):
        for _, codec, body in found:
            entries = decode_entries(body)
            while entries:
                begun = [one for one in activations if one.first_seq <= entries[0].seq]
                end = min(
                    (one.first_seq for one in activations if one.first_seq > entries[0].seq),
                    default=entries[-1].seq + 1,
                )
                part = [entry for entry in entries if entry.seq < end]
                yield ChunkImage(
                    first_seq=part[0].seq,
                    last_seq=part[-1].seq,
                    codec=codec,
                    mark=begun[-1].mark if begun else ORIGIN_MARK,
                    body=encode_entries(part),
                )
                entries = entries[len(part) :]
        after = found[-1][0]
