"""Notices of undelivered answers: claimed from the settled rows, in a transaction of their own.

They go with their runs' rows, so that erasing takes them too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from goldenpath.model.ids import RunId, ThreadId, UserId
from goldenpath.model.views import RunStatus
from goldenpath.store.chunks import WHOLE_USER
from goldenpath.store.interface import Claim, Notice, notice_pause_ms
from goldenpath.store.sqlite import sql
from goldenpath.store.sqlite.erase import RunJob
from goldenpath.store.sqlite.memory import UserState
from goldenpath.store.sqlite.sql import one
from goldenpath.store.sqlite.threads import Job, Readers


class Asked(NamedTuple):
    """What `claim_notices` was asked for."""

    now_ms: int
    ended_after_ms: int
    ended_before_ms: int
    stretch: float
    limit: int


class _Due(msgspec.Struct, frozen=True, array_like=True):
    """A settled row whose notice is due."""

    user: UserId
    user_no: int
    run_id: RunId
    thread_id: ThreadId
    agent: str
    status: RunStatus
    ended_ms: int
    first_seq: int
    last_seq: int
    attempts: int


_decode = msgspec.json.Decoder(list[_Due]).decode
_encode = msgspec.json.Encoder().encode
_DUE = """
SELECT json_group_array(json_array(u.user, r.user_no, r.run_id, r.thread_id, r.body ->> '$.agent',
    r.status, r.ended_ms, r.first_seq, r.last_seq, r.notice_attempts) ORDER BY r.notice_ms)
FROM (SELECT * FROM runs INDEXED BY runs_notices WHERE undelivered = 1 AND notice_ms <= ?1
    AND ended_ms <= ?2 ORDER BY notice_ms LIMIT ?3) r JOIN users u ON u.user_no = r.user_no
"""


async def claim(
    asked: Asked, readers: Readers, run: RunJob, known: Callable[[UserId], UserState | None]
) -> Claim:
    """Claim what is due; `known` is what memory has of a user beside the settled rows.

    One at a time, with everything settled that happened before.
    """
    due = await readers.run(
        lambda connection: _decode(
            one(connection, _DUE, (asked.now_ms, asked.ended_before_ms, asked.limit))
        )
    )
    due = [row for row in due if not _received(row, known(row.user))]
    late = [row for row in due if row.ended_ms <= asked.ended_after_ms]
    notices = [_notice(asked, row) for row in due if row.ended_ms > asked.ended_after_ms]
    number = {(row.user, row.run_id): row.user_no for row in due}
    written: list[tuple[int, str, int, int | None]] = [
        *((row.user_no, row.run_id, row.attempts, None) for row in late),
        *((number[n.user, n.run_id], n.run_id, n.attempt, n.again_ms) for n in notices),
    ]
    if written:
        rows = _encode(written).decode()
        await run(lambda connection: sql.run(connection, _CLAIM, (rows,)))
    return Claim(notices=notices, given_up=len(late))


_CLAIM = """
UPDATE runs SET notice_attempts = j.value ->> 2, notice_ms = j.value ->> 3
FROM json_each(?) j WHERE user_no = j.value ->> 0 AND run_id = j.value ->> 1
"""


def _received(row: _Due, state: UserState | None) -> bool:
    """True if it was acknowledged, fetched or erased since the rows were settled."""
    if state is None:
        return False
    erased = max(state.erasing.get(WHOLE_USER, 0), state.erasing.get(row.thread_id, 0))
    return row.last_seq <= state.delivered or row.run_id in state.fetched or row.first_seq <= erased


def _notice(asked: Asked, row: _Due) -> Notice:
    attempt = row.attempts + 1
    return Notice(
        user=row.user,
        thread_id=row.thread_id,
        run_id=row.run_id,
        agent=row.agent,
        status=row.status,
        ended_ms=row.ended_ms,
        attempt=attempt,
        again_ms=asked.now_ms + notice_pause_ms(attempt, asked.stretch),
    )


def notified(user: UserId, run_id: RunId) -> Job:
    """The transaction that ends a notice."""
    return lambda connection: sql.run(
        connection,
        "UPDATE runs SET notice_ms = NULL WHERE run_id = ?2 AND last_seq IS NOT NULL"
        " AND user_no = (SELECT user_no FROM users WHERE user = ?1)",
        (user, run_id),
    )
