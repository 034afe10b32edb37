"""Rows as of now: settled rows, with the entries that are not settled yet folded over them."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from goldenpath.model.entries import EncodedEntry, decode
from goldenpath.model.events import ThreadDeleted
from goldenpath.model.ids import ApprovalId, RunId, ThreadId
from goldenpath.model.projections import PROJECTING, Rows, apply, keys
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.chunks import WHOLE_USER
from goldenpath.store.sqlite.queries import some_approvals, some_runs, some_threads


class Changes:
    """Rows that the entries changed. `deleted` threads have gone with all of their runs."""

    def __init__(self) -> None:
        self.threads: dict[ThreadId, ThreadRow] = {}
        self.runs: dict[RunId, RunRow] = {}
        self.approvals: dict[ApprovalId, ApprovalRow] = {}
        self.deleted: set[ThreadId] = set()
        self.erasing: dict[str, int] = {}

    def hides_run(self, run: RunRow) -> bool:
        """True for a settled row that is not valid any more."""
        return (
            run.run_id in self.runs
            or run.thread_id in self.deleted
            or run.first_seq <= self.erasing.get(WHOLE_USER, 0)
            or run.first_seq <= self.erasing.get(run.thread_id, 0)
        )

    def hides_thread(self, thread: ThreadRow) -> bool:
        """True for a settled row that is not valid any more."""
        return (
            thread.thread_id in self.threads
            or thread.thread_id in self.deleted
            or thread.created_seq <= self.erasing.get(WHOLE_USER, 0)
            or thread.created_seq <= self.erasing.get(thread.thread_id, 0)
        )

    def merge_runs(self, settled: Sequence[RunRow]) -> list[RunRow]:
        """Settled rows and changed ones, in no order."""
        return [*(run for run in settled if not self.hides_run(run)), *self.runs.values()]


class Fold:
    """Entries that are not settled, and the settled rows that they change."""

    def __init__(self, entries: Sequence[EncodedEntry], codec: int) -> None:
        self._entries = [
            decode(entry, codec) for entry in entries if entry.type in PROJECTING and entry.json
        ]
        self._base = Rows()

    @property
    def size(self) -> int:
        """At least as many as the rows of one kind that the entries can change."""
        return len(self._entries)

    def skip(self, settled_head: int) -> None:
        """Leave out what has been settled meanwhile."""
        self._entries = [entry for entry in self._entries if entry.seq > settled_head]

    def load(self, connection: apsw.Connection, user_no: int) -> None:
        """Load the settled rows that the entries touch, in the caller's snapshot."""
        threads, runs, approvals = self._touched()
        base = self._base
        if threads:
            base.threads = {
                row.thread_id: row for row in some_threads(connection, user_no, threads)
            }
        if runs:
            base.runs = {row.run_id: row for row in some_runs(connection, user_no, runs)}
        if approvals:
            base.approvals = {
                row.approval_id: row for row in some_approvals(connection, user_no, approvals)
            }

    def changes(self, erasing: dict[str, int]) -> Changes:
        """Fold; `erasing` names what is promised to be erased and still settled."""
        changes = Changes()
        changes.erasing = dict(erasing)
        rows = self._visible(changes)
        threads, runs, approvals = self._touched()
        changes.deleted = {
            entry.thread_id
            for entry in self._entries
            if isinstance(entry.body, ThreadDeleted) and entry.thread_id is not None
        }
        for entry in self._entries:
            apply(rows, entry)
        changes.threads = {key: row for key, row in rows.threads.items() if key in threads}
        changes.runs = {key: row for key, row in rows.runs.items() if key in runs}
        changes.approvals = {key: row for key, row in rows.approvals.items() if key in approvals}
        return changes

    def _visible(self, changes: Changes) -> Rows:
        rows = Rows()
        base = self._base
        rows.threads = {k: v for k, v in base.threads.items() if not changes.hides_thread(v)}
        rows.runs = {k: v for k, v in base.runs.items() if not changes.hides_run(v)}
        rows.approvals = {k: v for k, v in base.approvals.items() if v.run_id in rows.runs}
        return rows

    def _touched(self) -> tuple[set[ThreadId], set[RunId], set[ApprovalId]]:
        threads: set[ThreadId] = set()
        runs: set[RunId] = set()
        approvals: set[ApprovalId] = set()
        for entry in self._entries:
            touched = keys(entry)
            if touched.thread_id is not None:
                threads.add(touched.thread_id)
            if touched.run_id is not None:
                runs.add(touched.run_id)
            if touched.approval_id is not None:
                approvals.add(touched.approval_id)
        return threads, runs, approvals
