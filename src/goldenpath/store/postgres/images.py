"""Copies of the whole store: read user by user, and written into a database that is empty."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from typing import Any

from goldenpath.errors import StoreOpenError
from goldenpath.model.commands import Receipt
from goldenpath.store.image import (
    ChunkImage,
    CommandImage,
    MarkImage,
    Record,
    RunImage,
    UserImage,
)
from goldenpath.store.postgres.rows import (
    approval_of,
    encode,
    receipt_body,
    receipt_of,
    refusal_of,
    run_body,
    run_of,
    thread_of,
)
from goldenpath.store.postgres.server import Connection

_USERS_AT_ONCE = 200
_CHUNKS_AT_ONCE = 200
_BYTES_AT_ONCE = 8 * 1024 * 1024


async def read_records(connection: Connection) -> AsyncIterator[Record]:
    """Everything; each user as of one moment, while other work goes on.

    Users are independent of one another. One snapshot for all of them would keep the database from
    clearing up behind the appends of hours.
    """
    last = 0
    while True:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            users = await connection.fetch(
                "SELECT user_no, user_id, epoch, head, due_ms FROM goldenpath.users"
                " WHERE user_no > $1 ORDER BY user_no LIMIT $2",
                last, _USERS_AT_ONCE,
            )  # fmt: skip
            if not users:
                return
            async for record in _records_of(connection, users):
                yield record
        last = users[-1][0]


async def _records_of(connection: Connection, users: list[Any]) -> AsyncIterator[Record]:
    numbers = [row[0] for row in users]

    async def rows(columns: str, table: str, order: str) -> dict[int, list[Any]]:
        found: dict[int, list[Any]] = defaultdict(list)
        for row in await connection.fetch(
            f"SELECT user_no, {columns} FROM goldenpath.{table} WHERE user_no = ANY ($1)"
            f" ORDER BY user_no, {order}",
            numbers,
        ):
            found[row[0]].append(tuple(row)[1:])
        return found

    marks = await rows("epoch, first_seq, mark", "marks", "epoch")
    threads = await rows("body", "threads", "created_seq, thread_id")
    runs = await rows(
        "body, question, output, pruned, undelivered, notice_attempts, notice_ms",
        "runs", "first_seq",
    )  # fmt: skip
    approvals = await rows("body", "approvals", "requested_seq, approval_id")
    receipts = await rows("body, body_hash", "receipts", "command_id")
    commands = await rows("command_id, body, body_hash, refusal, refused_ms", "inbox", "place")
    acks = await rows("device, cursor", "acks", "device")
    for no, user, epoch, head, due_ms in users:
        yield UserImage(
            user=user,
            epoch=epoch,
            head=head,
            due_ms=due_ms,
            marks=[MarkImage(*row) for row in marks[no]],
            threads=[thread_of(row[0]) for row in threads[no]],
            runs=[RunImage(run_of(*row[:3]), *row[3:]) for row in runs[no]],
            approvals=[approval_of(row[0]) for row in approvals[no]],
            receipts=[receipt_of(*row) for row in receipts[no]],
            commands=[
                CommandImage(name, body, hashed, None if why is None else refusal_of(why), since)
                for name, body, hashed, why, since in commands[no]
            ],
            acks=dict(acks[no]),
        )
        after = 0
        while chunks := await connection.fetch(
            "SELECT first_seq, last_seq, codec, mark, body FROM goldenpath.chunks"
            " WHERE user_no = $1 AND last_seq > $2 ORDER BY last_seq LIMIT $3",
            no, after, _CHUNKS_AT_ONCE,
        ):  # fmt: skip
            for first_seq, last_seq, codec, mark, body in chunks:
                yield ChunkImage(
                    first_seq=first_seq, last_seq=last_seq, codec=codec, mark=mark, body=body
                )
            after = chunks[-1][1]


class _Tables:
    """Rows gathered for COPY."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[tuple[str, tuple[str, ...]], list[tuple[Any, ...]]] = defaultdict(list)
        self._bytes = 0

    def add(self, table: str, columns: str, rows: Iterable[tuple[Any, ...]], size: int) -> None:
        self._rows[table, tuple(columns.split())].extend(rows)
        self._bytes += size

    async def flush(self, *, all_: bool = False) -> None:
        if self._bytes < _BYTES_AT_ONCE and not all_:
            return
        for (table, columns), rows in self._rows.items():
            await self._connection.copy_records_to_table(
                table, schema_name="goldenpath", columns=columns, records=rows
            )
        self._rows.clear()
        self._bytes = 0


async def write_records(connection: Connection, records: AsyncIterator[Record]) -> int:
    """Fill an empty schema, in one transaction; gives how many users. Raises `StoreOpenError`.

    Activations of before can write nothing: each user has a new epoch, and a mark that is new.
    """
    async with connection.transaction():
        await connection.execute("LOCK TABLE goldenpath.users IN EXCLUSIVE MODE")
        if await connection.fetchval("SELECT EXISTS (SELECT 1 FROM goldenpath.users)"):
            raise StoreOpenError("the database holds users already: name one that is empty")
        tables = _Tables(connection)
        no = 0
        async for record in records:
            if isinstance(record, UserImage):
                no += 1
                _add_user(tables, no, record)
            else:
                tables.add(
                    "chunks", "user_no last_seq first_seq codec mark body",
                    [(no, record.last_seq, record.first_seq, record.codec, record.mark,
                      record.body)],
                    len(record.body),
                )  # fmt: skip
            await tables.flush()
        await tables.flush(all_=True)
        await connection.execute(
            "SELECT setval(pg_get_serial_sequence('goldenpath.users', 'user_no'),"
            " $1::bigint, false)",
            no + 1,
        )
        return no


def _add_user(tables: _Tables, no: int, user: UserImage) -> None:
    size = 0

    def body(row: Any) -> bytes:
        nonlocal size
        encoded = encode(row)
        size += len(encoded)
        return encoded

    tables.add(
        "users", "user_no user_id epoch mark head due_ms",
        [(no, user.user, user.epoch + 1, f"restored-{secrets.token_urlsafe(9)}", user.head,
          user.due_ms)],
        200,
    )  # fmt: skip
    tables.add(
        "marks", "user_no epoch first_seq mark",
        [(no, mark.epoch, mark.first_seq, mark.mark) for mark in user.marks], 0,
    )  # fmt: skip
    tables.add(
        "threads", "user_no thread_id created_ms created_seq body",
        [(no, t.thread_id, t.created_ms, t.created_seq, body(t)) for t in user.threads], size,
    )  # fmt: skip
    size = 0
    tables.add(
        "runs",
        "user_no run_id thread_id parent_run_id status queued_ms ended_ms first_seq last_seq"
        " pruned undelivered notice_attempts notice_ms question output body",
        [
            (no, r.run_id, r.thread_id, r.parent_run_id, r.status, r.queued_ms, r.ended_ms,
             r.first_seq, r.last_seq, i.pruned, i.undelivered, i.notice_attempts, i.notice_ms,
             r.text.encode(), None if r.output is None else r.output.encode(), run_body(r))
            for r, i in ((i.row, i) for i in user.runs)
        ],
        sum(len(i.row.text) + len(i.row.output or "") + 500 for i in user.runs),
    )  # fmt: skip
    tables.add(
        "approvals", "user_no approval_id run_id open requested_seq body",
        [(no, a.approval_id, a.run_id, a.decision is None, a.requested_seq, body(a))
         for a in user.approvals],
        size,
    )  # fmt: skip
    tables.add(
        "receipts", "user_no command_id thread_id run_id body_hash body",
        [_receipt(no, receipt) for receipt in user.receipts], 300 * len(user.receipts),
    )  # fmt: skip
    tables.add(
        "inbox", "user_no command_id body body_hash refusal refused_ms",
        [(no, c.command_id, c.body, c.body_hash, None if c.error is None else encode(c.error),
          c.refused_ms) for c in user.commands],
        sum(len(c.body) for c in user.commands),
    )  # fmt: skip
    tables.add(
        "acks", "user_no device cursor",
        [(no, device, cursor) for device, cursor in user.acks.items()], 0,
    )  # fmt: skip


def _receipt(no: int, receipt: Receipt) -> tuple[Any, ...]:
    return (
        no, receipt.command_id, receipt.thread_id, receipt.run_id, receipt.body_hash,
        receipt_body(receipt),
    )  # fmt: skip
