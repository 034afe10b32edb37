"""What is asked of a user's rows; each answer is of one moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from goldenpath.model.commands import Receipt
from goldenpath.model.entries import Entry, decode
from goldenpath.model.ids import ApprovalId, CommandId, RunId, Seq, ThreadId, UserId
from goldenpath.model.projections import SHOWN, open_run_view
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.chunks import decode_entries
from goldenpath.store.interface import (
    Found,
    History,
    OpenRun,
    PendingCommand,
    Refusal,
    UndeliveredAnswer,
)
from goldenpath.store.postgres.groups import Groups
from goldenpath.store.postgres.link import Links
from goldenpath.store.postgres.log import head_of
from goldenpath.store.postgres.rows import (
    approval_of,
    receipt_of,
    refusal_of,
    run_of,
    thread_of,
)
from goldenpath.store.postgres.server import Connection
from goldenpath.store.words import hits, words_of

T = TypeVar("T")
_SEARCHED_AT_ONCE = 50
_CHUNKS_AT_ONCE = 200
_LAST = 1 << 62
_RUN = "r.body, r.question, r.output"
_OF_USER = "JOIN goldenpath.users u ON u.user_no = {0}.user_no AND u.user_id = $1"


class Reads:
    """The half of `Store` that asks for rows."""

    def __init__(self, links: Links) -> None:
        self._links = links
        self._pending = Groups[UserId, list[PendingCommand]](self._pending_many)

    async def _rows(self, statement: str, *values: Any) -> list[Any]:
        return await self._links.run(lambda connection: connection.fetch(statement, *values))

    async def _row(self, statement: str, *values: Any) -> Any:
        return await self._links.run(lambda connection: connection.fetchrow(statement, *values))

    async def _at_once(self, job: Callable[[Connection], Awaitable[T]]) -> T:
        """Several questions of one moment."""

        async def ask(connection: Connection) -> T:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await job(connection)

        return await self._links.run(ask)

    # -- inbox -------------------------------------------------------------------------------

    async def pending(self, user: UserId) -> list[PendingCommand]:
        """See clause S3. Each run begins with it, so what several users ask is one statement."""
        return await self._pending.ask(user)

    async def _pending_many(self, users: Sequence[UserId]) -> list[list[PendingCommand]]:
        rows = await self._rows(
            "SELECT u.user_id, i.command_id, i.body, i.body_hash FROM goldenpath.inbox i"
            " JOIN goldenpath.users u ON u.user_no = i.user_no"
            " WHERE u.user_id = ANY ($1) AND i.refusal IS NULL ORDER BY i.place",
            list(set(users)),
        )
        found: dict[UserId, list[PendingCommand]] = {user: [] for user in users}
        for user, *command in rows:
            found[user].append(PendingCommand(*command))
        return [found[user] for user in users]

    async def outcome(self, user: UserId, command_id: CommandId) -> Receipt | Refusal | None:
        """See `Store.outcome`."""
        row = await self._row(
            f"""
            SELECT i.refusal, NULL AS body, NULL AS body_hash FROM goldenpath.inbox i
                {_OF_USER.format("i")} WHERE i.command_id = $2
            UNION ALL
            SELECT NULL, s.body, s.body_hash FROM goldenpath.receipts s
                {_OF_USER.format("s")} WHERE s.command_id = $2
            """,
            user, command_id,
        )  # fmt: skip
        if row is None:
            return None
        refusal, body, body_hash = row
        if body is not None:
            return receipt_of(body, body_hash)
        return None if refusal is None else Refusal(command_id, refusal_of(refusal))

    # -- projections -------------------------------------------------------------------------

    async def threads(
        self, user: UserId, limit: int, before: tuple[int, ThreadId] | None
    ) -> list[ThreadRow]:
        """See `Store.threads`."""
        rows = await self._rows(
            f"SELECT t.body FROM goldenpath.threads t {_OF_USER.format('t')}"
            " WHERE (t.created_ms, t.thread_id) < ($2, $3)"
            " ORDER BY t.created_ms DESC, t.thread_id DESC LIMIT $4",
            user, *(before or (_LAST, "")), limit,
        )  # fmt: skip
        return [thread_of(row[0]) for row in rows]

    async def thread(self, user: UserId, thread_id: ThreadId) -> ThreadRow | None:
        """See clause P2."""
        row = await self._row(
            f"SELECT t.body FROM goldenpath.threads t {_OF_USER.format('t')}"
            " WHERE t.thread_id = $2",
            user, thread_id,
        )  # fmt: skip
        return None if row is None else thread_of(row[0])

    async def run(self, user: UserId, run_id: RunId) -> RunRow | None:
        """See clause P2."""
        row = await self._row(
            f"SELECT {_RUN} FROM goldenpath.runs r {_OF_USER.format('r')} WHERE r.run_id = $2",
            user, run_id,
        )  # fmt: skip
        return None if row is None else run_of(*row)

    async def runs(
        self, user: UserId | None, status: str | None, limit: int
    ) -> list[tuple[UserId, RunRow]]:
        """See `Store.runs`."""
        rows = await self._rows(
            f"SELECT u.user_id, {_RUN} FROM goldenpath.runs r JOIN goldenpath.users u"
            " ON u.user_no = r.user_no WHERE ($1::text IS NULL OR u.user_id = $1)"
            " AND ($2::text IS NULL OR r.status = $2)"
            " ORDER BY r.queued_ms DESC, r.run_id DESC LIMIT $3",
            user, status, limit,
        )  # fmt: skip
        return [(row[0], run_of(*row[1:])) for row in rows]

    async def approval(self, user: UserId, approval_id: ApprovalId) -> ApprovalRow | None:
        """See clause P2."""
        row = await self._row(
            f"SELECT a.body FROM goldenpath.approvals a {_OF_USER.format('a')}"
            " WHERE a.approval_id = $2",
            user, approval_id,
        )  # fmt: skip
        return None if row is None else approval_of(row[0])

    async def history(
        self, user: UserId, thread_id: ThreadId, limit: int, before: Seq | None
    ) -> History | None:
        """See `Store.history`."""
        return await self._at_once(lambda c: _history(c, user, thread_id, limit, before))

    async def search(self, user: UserId, words: Sequence[str], limit: int) -> list[Found]:
        """See `Store.search`."""
        wanted = [part for word in words for part in words_of(word)]
        if not wanted:
            return []

        async def look(connection: Connection) -> list[Found]:
            found: list[Found] = []
            before = _LAST
            while len(found) < limit:
                rows = await connection.fetch(
                    f"SELECT {_RUN} FROM goldenpath.runs r {_OF_USER.format('r')}"
                    " WHERE r.parent_run_id IS NULL AND r.first_seq < $2"
                    " ORDER BY r.first_seq DESC LIMIT $3",
                    user, before, _SEARCHED_AT_ONCE,
                )  # fmt: skip
                # In a thread: answers may be large, and a host that stands still seems dead.
                more, before = await asyncio.to_thread(_hits_of, rows, wanted, before)
                found += more
                if len(rows) < _SEARCHED_AT_ONCE:
                    break
            return found[:limit]

        return await self._at_once(look)

    # -- all users ---------------------------------------------------------------------------

    async def undelivered(self, limit: int = 1000) -> list[UndeliveredAnswer]:
        """See clause K2; those that have waited longest first."""
        rows = await self._rows(
            f"SELECT u.user_id, {_RUN} FROM goldenpath.runs r JOIN goldenpath.users u"
            " ON u.user_no = r.user_no WHERE r.undelivered"
            " ORDER BY r.ended_ms, r.run_id LIMIT $1",
            limit,
        )
        return [UndeliveredAnswer(user=row[0], run=run_of(*row[1:])) for row in rows]

    async def users(self, after: UserId | None = None, limit: int = 1000) -> list[UserId]:
        """See `Store.users`."""
        rows = await self._rows(
            "SELECT u.user_id FROM goldenpath.users u WHERE $1::text IS NULL OR u.user_id > $1"
            " ORDER BY u.user_id LIMIT $2",
            after, limit,
        )  # fmt: skip
        return [row[0] for row in rows]


def _hits_of(rows: list[Any], wanted: list[str], before: int) -> tuple[list[Found], int]:
    """What of these rows matches, and before which seq to go on."""
    runs = [run_of(*row) for row in rows]
    found = [hit for run in runs for hit in hits(run, wanted)]
    return found, runs[-1].first_seq if runs else before


async def _history(
    connection: Connection, user: UserId, thread_id: ThreadId, limit: int, before: Seq | None
) -> History | None:
    user_no = await connection.fetchval(
        f"SELECT t.user_no FROM goldenpath.threads t {_OF_USER.format('t')}"
        " WHERE t.thread_id = $2",
        user, thread_id,
    )  # fmt: skip
    if user_no is None:
        return None
    runs = await connection.fetch(
        f"SELECT {_RUN} FROM goldenpath.runs r WHERE r.user_no = $1 AND r.thread_id = $2"
        " AND r.parent_run_id IS NULL AND r.first_seq < $3 ORDER BY r.first_seq DESC LIMIT $4",
        user_no, thread_id, _LAST if before is None else before, limit,
    )  # fmt: skip
    open_runs = await connection.fetch(
        f"SELECT {_RUN} FROM goldenpath.runs r WHERE r.user_no = $1 AND r.thread_id = $2"
        " AND r.last_seq IS NULL ORDER BY r.first_seq",
        user_no, thread_id,
    )  # fmt: skip
    return History(
        runs=[run_of(*row) for row in runs],
        open_runs=await _shown(connection, user_no, [run_of(*row) for row in open_runs]),
        as_of=await head_of(connection, user),
    )


async def _shown(connection: Connection, user_no: int, runs: list[RunRow]) -> list[OpenRun]:
    # Parts and tools of open runs, folded from their entries.
    if not runs:
        return []
    entries: dict[RunId, list[Entry]] = {run.run_id: [] for run in runs}
    after = min(run.first_seq for run in runs) - 1
    while True:
        rows = await connection.fetch(
            "SELECT codec, last_seq, body FROM goldenpath.chunks WHERE user_no = $1"
            " AND last_seq > $2 ORDER BY last_seq LIMIT $3",
            user_no, after, _CHUNKS_AT_ONCE,
        )  # fmt: skip
        for codec, _, body in rows:
            for entry in decode_entries(body):
                if entry.type in SHOWN and entry.json:
                    decoded = decode(entry, codec)
                    if decoded.run_id is not None and decoded.run_id in entries:
                        entries[decoded.run_id].append(decoded)
        if len(rows) < _CHUNKS_AT_ONCE:
            break
        after = rows[-1][1]
    approvals = await connection.fetch(
        "SELECT body FROM goldenpath.approvals WHERE user_no = $1 AND open ORDER BY requested_seq",
        user_no,
    )
    asked = [approval_of(row[0]) for row in approvals]
    shown: list[OpenRun] = []
    for run in runs:
        parts, tools = open_run_view(entries[run.run_id])
        own = [approval for approval in asked if approval.run_id == run.run_id]
        shown.append(OpenRun(run=run, parts=parts, tools=tools, approvals=own))
    return shown
