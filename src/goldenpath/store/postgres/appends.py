"""The one statement that writes logs: many appends, and the rows that they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from goldenpath.model.entries import CODEC_VERSION
from goldenpath.store.interface import Append
from goldenpath.store.postgres.own import OwnLog
from goldenpath.store.postgres.rows import Changes, encode, receipt_body, run_body


@dataclass(slots=True)
class Write:
    """An append on its way: what it changes is worked out against `own`."""

    append: Append
    own: OwnLog
    body: bytes
    changes: Changes
    erasing: dict[str, int]


_Column = Callable[[Any], Any]


def _itself(value: Any) -> Any:
    return value


_PARTS: dict[str, tuple[Callable[[Write], Sequence[Any]], dict[str, _Column]]] = {
    "c": (
        lambda write: write.append.refused,
        {"command": lambda r: r.command_id, "refusal": lambda r: encode(r.error)},
    ),
    "d": (lambda write: write.changes.deleted, {"thread": _itself}),
    "t": (
        lambda write: write.changes.threads,
        {
            "thread": lambda t: t.thread_id,
            "created": lambda t: t.created_ms,
            "seq": lambda t: t.created_seq,
            "body": encode,
        },
    ),
    "r": (
        lambda write: write.changes.runs,
        {
            "run": lambda r: r.run_id,
            "thread": lambda r: r.thread_id,
            "parent": lambda r: r.parent_run_id,
            "status": lambda r: r.status,
            "queued": lambda r: r.queued_ms,
            "ended": lambda r: r.ended_ms,
            "first": lambda r: r.first_seq,
            "last": lambda r: r.last_seq,
            "question": lambda r: r.text.encode(),
            "output": lambda r: None if r.output is None else r.output.encode(),
            "body": run_body,
        },
    ),
    "a": (
        lambda write: write.changes.approvals,
        {
            "approval": lambda a: a.approval_id,
            "run": lambda a: a.run_id,
            "open": lambda a: a.decision is None,
            "seq": lambda a: a.requested_seq,
            "body": encode,
        },
    ),
    "s": (
        lambda write: write.changes.receipts,
        {
            "command": lambda r: r.command_id,
            "thread": lambda r: r.thread_id,
            "run": lambda r: r.run_id,
            "hash": lambda r: r.body_hash,
            "body": receipt_body,
        },
    ),
}
"""Arguments of `append_1` by their prefix: rows of a write, and the columns beside the user's."""


def statement(writes: Sequence[Write]) -> list[Any]:
    """The call of `append_1` for these appends, and its arguments.

    Parts without rows are left out: to encode dozens of empty arrays costs a host as much as all
    the rest of a statement.
    """
    appends = [write.append for write in writes]
    values: list[Any] = [
        [write.own.user_no for write in writes],
        [a.epoch for a in appends],
        [a.mark for a in appends],
        [a.head for a in appends],
        [a.append_id for a in appends],
        [len(a.entries) for a in appends],
        [a.due_ms for a in appends],
        [a.now_ms for a in appends],
        CODEC_VERSION,
        [write.body for write in writes],
    ]
    present = ""
    for part, (rows_of, columns) in _PARTS.items():
        users: list[int] = []
        rows: list[Any] = []
        for write in writes:
            if found := rows_of(write):
                users += [write.own.user_no] * len(found)
                rows += found
        if rows:
            present += part
            values.append(users)
            values += [[column(row) for row in rows] for column in columns.values()]
    return [_call(present), *values]


@lru_cache(maxsize=1 << len(_PARTS))
def _call(present: str) -> str:
    names = [f"{part}_{name}" for part in present for name in ("user", *_PARTS[part][1])]
    first = [f"${number}" for number in range(1, 11)]
    more = [f"{name} => ${number}" for number, name in enumerate(names, 11)]
    return f"SELECT * FROM goldenpath.append_1({', '.join([*first, *more])})"
