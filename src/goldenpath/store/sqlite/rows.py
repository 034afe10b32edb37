"""Reading the projections: settled rows, with what is not settled yet folded over them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

import apsw

from goldenpath.model.entries import Entry, decode
from goldenpath.model.ids import ApprovalId, RunId, Seq, ThreadId, UserId
from goldenpath.model.projections import SHOWN, open_run_view
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.interface import Found, History, OpenRun, UndeliveredAnswer
from goldenpath.store.sqlite import log, queries
from goldenpath.store.sqlite.fold import Changes, Fold
from goldenpath.store.sqlite.memory import UserState
from goldenpath.store.sqlite.threads import Readers
from goldenpath.store.words import hits, words_of

T = TypeVar("T")
Query = Callable[[apsw.Connection, int, int], T]
"""(connection, the user's number, how many rows beyond the limit may be hidden) -> rows."""

_SEARCHED_AT_ONCE = 200


class View(NamedTuple):
    """What the entries in memory change, and up to which seq all of it is."""

    changes: Changes
    head: int


async def overlay(
    state: UserState, readers: Readers, query: Query[T], nothing: T
) -> tuple[T, View]:
    """Run `query` on the settled rows; gives its result with what memory changes, as of one seq."""
    while True:
        generation, head = state.generation, state.head
        fold = Fold(state.entries, state.codec)
        found = nothing
        if state.stored:
            erasing, user_no = len(state.erasing), state.user_no

            def run(
                connection: apsw.Connection,
                fold: Fold = fold,
                user_no: int = user_no,
                erasing: int = erasing,
            ) -> tuple[T, int]:
                settled = queries.settled_head(connection, user_no)
                fold.skip(settled)
                fold.load(connection, user_no)
                return query(connection, user_no, fold.size + erasing), settled

            found, settled = await readers.run(run)
            head = max(head, settled)
        if state.generation == generation:
            return found, View(fold.changes(state.erasing), head)


async def threads(
    state: UserState, readers: Readers, limit: int, before: tuple[int, ThreadId] | None
) -> list[ThreadRow]:
    """See `Store.threads`."""
    settled, view = await overlay(
        state,
        readers,
        lambda connection, no, extra: queries.newest_threads(connection, no, before, limit + extra),
        [],
    )
    changes = view.changes
    rows = [row for row in settled if not changes.hides_thread(row)]
    rows += [
        row
        for row in changes.threads.values()
        if before is None or (row.created_ms, row.thread_id) < before
    ]
    rows.sort(key=lambda row: (row.created_ms, row.thread_id), reverse=True)
    return rows[:limit]


async def thread(state: UserState, readers: Readers, thread_id: ThreadId) -> ThreadRow | None:
    """See `Store.thread`."""
    settled, view = await overlay(
        state, readers, lambda c, no, _: queries.some_threads(c, no, [thread_id]), []
    )
    return _thread(settled, view.changes, thread_id)


def _thread(
    settled: Sequence[ThreadRow], changes: Changes, thread_id: ThreadId
) -> ThreadRow | None:
    changed = changes.threads.get(thread_id)
    if changed is not None:
        return changed
    return next((row for row in settled if not changes.hides_thread(row)), None)


async def run(state: UserState, readers: Readers, run_id: RunId) -> RunRow | None:
    """See `Store.run`."""
    settled, view = await overlay(
        state, readers, lambda c, no, _: queries.some_runs(c, no, [run_id]), []
    )
    rows = view.changes.merge_runs(settled)
    return next((row for row in rows if row.run_id == run_id), None)


async def approval(
    state: UserState, readers: Readers, approval_id: ApprovalId
) -> ApprovalRow | None:
    """See `Store.approval`."""

    def query(
        connection: apsw.Connection, no: int, _: int
    ) -> tuple[list[ApprovalRow], list[RunRow]]:
        rows = queries.some_approvals(connection, no, [approval_id])
        return rows, queries.some_runs(connection, no, [row.run_id for row in rows])

    (settled, runs), view = await overlay(state, readers, query, ([], []))
    changed = view.changes.approvals.get(approval_id)
    if changed is not None:
        return changed
    kept = {row.run_id for row in view.changes.merge_runs(runs)}
    return next((row for row in settled if row.run_id in kept), None)


class _Open(NamedTuple):
    runs: list[RunRow]
    approvals: list[ApprovalRow]


def _open(connection: apsw.Connection, no: int, _: int) -> _Open:
    return _Open(queries.open_runs(connection, no), queries.open_approvals(connection, no))


def _merge_open(settled: _Open, changes: Changes) -> _Open:
    runs = [row for row in changes.merge_runs(settled.runs) if row.open]
    runs.sort(key=lambda row: row.first_seq)
    ids = {row.run_id for row in runs}
    approvals = {row.approval_id: row for row in settled.approvals}
    approvals.update(changes.approvals)
    rows = [row for row in approvals.values() if row.decision is None and row.run_id in ids]
    rows.sort(key=lambda row: row.requested_seq)
    return _Open(runs, rows)


async def open_rows(state: UserState, readers: Readers) -> _Open:
    """Open runs and approvals, oldest first: what an engine begins with."""
    settled, view = await overlay(state, readers, _open, _Open([], []))
    return _merge_open(settled, view.changes)


async def history(
    state: UserState, readers: Readers, thread_id: ThreadId, limit: int, before: Seq | None
) -> History | None:
    """See `Store.history`."""

    def query(
        connection: apsw.Connection, no: int, extra: int
    ) -> tuple[list[ThreadRow], list[RunRow], _Open]:
        return (
            queries.some_threads(connection, no, [thread_id]),
            queries.runs_of_thread(connection, no, thread_id, before, limit + extra),
            _open(connection, no, extra),
        )

    settled, view = await overlay(state, readers, query, ([], [], _Open([], [])))
    threads_, runs_, open_ = settled
    if _thread(threads_, view.changes, thread_id) is None:
        return None
    runs = [
        row
        for row in view.changes.merge_runs(runs_)
        if row.thread_id == thread_id
        and row.parent_run_id is None
        and (before is None or row.first_seq < before)
    ]
    runs.sort(key=lambda row: row.first_seq, reverse=True)
    opened = _merge_open(open_, view.changes)
    mine = [row for row in opened.runs if row.thread_id == thread_id]
    return History(
        runs=runs[:limit],
        open_runs=await _shown(state, readers, mine, opened.approvals, view.head),
        as_of=await log.position_at(state, readers, view.head),
    )


async def _shown(
    state: UserState,
    readers: Readers,
    runs: list[RunRow],
    approvals: list[ApprovalRow],
    head: int,
) -> list[OpenRun]:
    # Parts and tools of open runs, folded from their entries up to `head`.
    if not runs:
        return []
    entries: dict[RunId, list[Entry]] = {row.run_id: [] for row in runs}
    after = min(row.first_seq for row in runs) - 1
    while after < head:
        found = await log.find(state, readers, after, min(5000, head - after), 4 << 20)
        if not found.entries:
            break
        for entry in found.entries:
            if entry.type in SHOWN and entry.json:
                decoded = decode(entry, found.codec)
                if decoded.run_id is not None and decoded.run_id in entries:
                    entries[decoded.run_id].append(decoded)
        after = found.entries[-1].seq
    shown: list[OpenRun] = []
    for row in runs:
        parts, tools = open_run_view(entries[row.run_id])
        own = [approval for approval in approvals if approval.run_id == row.run_id]
        shown.append(OpenRun(run=row, parts=parts, tools=tools, approvals=own))
    return shown


async def search(
    state: UserState, readers: Readers, words: Sequence[str], limit: int
) -> list[Found]:
    """See `Store.search`."""
    wanted = [part for word in words for part in words_of(word)]
    if not wanted:
        return []

    async def read(count: int) -> tuple[list[RunRow], bool]:
        def query(connection: apsw.Connection, no: int, extra: int) -> list[RunRow]:
            found: list[RunRow] = []
            before = queries.LAST_MS
            while len(found) < count + extra:
                rows = queries.root_runs(connection, no, before, _SEARCHED_AT_ONCE)
                found += [row for row in rows if hits(row, wanted)]
                if len(rows) < _SEARCHED_AT_ONCE:
                    break
                before = rows[-1].first_seq
            return found

        settled, view = await overlay(state, readers, query, [])
        merged = view.changes.merge_runs(settled)
        valid = [row for row in merged if row.parent_run_id is None and hits(row, wanted)]
        return valid, len(settled) >= count

    runs = await _enough(limit, read)
    runs.sort(key=lambda row: row.first_seq, reverse=True)
    return [hit for row in runs for hit in hits(row, wanted)][:limit]


async def runs_of_user(
    state: UserState, readers: Readers, status: str | None, limit: int
) -> list[RunRow]:
    """Runs of one user, newest first."""

    async def read(count: int) -> tuple[list[RunRow], bool]:
        settled, view = await overlay(
            state,
            readers,
            lambda c, no, extra: queries.runs_of_user(c, no, status, count + extra),
            [],
        )
        rows = [row for row in view.changes.merge_runs(settled) if status in (None, row.status)]
        return rows, len(settled) >= count

    found = await _enough(limit, read)
    found.sort(key=lambda row: (row.queued_ms, row.run_id), reverse=True)
    return found[:limit]


async def _enough(limit: int, read: Callable[[int], Awaitable[tuple[list[T], bool]]]) -> list[T]:
    """Read more settled rows while memory hides so many that too few are left.

    `read` is told how many; it gives those that are valid, and whether there may be more.
    """
    count = limit
    while True:
        rows, more = await read(count)
        if len(rows) >= limit or not more:
            return rows
        count *= 3


# For operators: all users


async def runs(
    states: Sequence[UserState], readers: Readers, status: str | None, limit: int
) -> list[tuple[UserId, RunRow]]:
    """Runs of all users, newest first; `states` are those with entries that are not settled."""

    async def read(count: int) -> tuple[list[tuple[UserId, RunRow]], bool]:
        found, changed = await _over_all(
            states, readers, count, lambda c, most: queries.newest_runs(c, status, most)
        )
        both = [*found.rows, *changed]
        return [item for item in both if status in (None, item[1].status)], found.more

    rows = await _enough(limit, read)
    rows.sort(key=lambda item: (item[1].queued_ms, item[1].run_id), reverse=True)
    return rows[:limit]


async def undelivered_among(
    state: UserState, readers: Readers, run_ids: Sequence[RunId]
) -> list[str]:
    """Those of these runs that are ended root runs, and of which no reader is known."""
    settled, view = await overlay(
        state, readers, lambda c, no, _: queries.some_runs(c, no, run_ids), []
    )
    wanted = set(run_ids) - state.fetched
    return [
        row.run_id
        for row in view.changes.merge_runs(settled)
        if row.run_id in wanted
        and row.parent_run_id is None
        and row.last_seq is not None
        and row.last_seq > state.delivered
    ]


async def undelivered(
    states: Sequence[UserState], readers: Readers, limit: int
) -> list[UndeliveredAnswer]:
    """See `Store.undelivered`."""
    delivered = {state.user: state.delivered for state in states}
    fetched = {state.user: state.fetched for state in states if state.fetched}
    changed = [state for state in states if _may_end_runs(state)]

    async def read(count: int) -> tuple[list[UndeliveredAnswer], bool]:
        found, new = await _over_all(changed, readers, count, queries.undelivered_runs)
        answers = [
            UndeliveredAnswer(user=user, run=row)
            for user, row in [*found.rows, *new]
            if row.parent_run_id is None
            and row.last_seq is not None
            and row.last_seq > delivered.get(user, 0)
            and row.run_id not in fetched.get(user, ())
        ]
        return answers, found.more

    answers = await _enough(limit, read)
    answers.sort(key=lambda answer: (answer.run.ended_ms or 0, answer.run.run_id))
    return answers[:limit]


def _may_end_runs(state: UserState) -> bool:
    # Folding is dear: only for users whose list of undelivered answers it can change.
    return bool(state.erasing) or any(
        entry.type in _ENDING_TYPES and entry.seq > state.delivered for entry in state.entries
    )


_ENDING_TYPES = frozenset({"agent_completed", "thread_deleted"})


class _Settled(NamedTuple):
    rows: list[tuple[UserId, RunRow]]
    """Those that are still valid."""
    more: bool
    """There may be more of them."""


async def _over_all(
    states: Sequence[UserState],
    readers: Readers,
    limit: int,
    query: Callable[[apsw.Connection, int], list[tuple[UserId, RunRow]]],
) -> tuple[_Settled, list[tuple[UserId, RunRow]]]:
    # (settled rows, changed rows); each user as of one moment. `query` is told how many rows
    # to give: `limit`, and as many as may be hidden.
    views: dict[UserId, Changes] = {}
    for state in states:
        _, view = await overlay(state, readers, lambda c, no, extra: None, None)
        views[state.user] = view.changes
    extra = sum(len(view.runs) for view in views.values()) + sum(
        len(state.erasing) for state in states
    )

    def run(connection: apsw.Connection) -> list[tuple[UserId, RunRow]]:
        return query(connection, limit + extra)

    settled = await readers.run(run)
    kept = [
        (user, row) for user, row in settled if user not in views or not views[user].hides_run(row)
    ]
    changed = [(user, row) for user, view in views.items() for row in view.runs.values()]
    return _Settled(kept, len(settled) >= extra + limit), changed
