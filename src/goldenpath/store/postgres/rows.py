"""Rows of the projections: how they are kept, and what an append changes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from goldenpath.errors import UNREADABLE, StoreUnavailableError
from goldenpath.model.commands import Receipt
from goldenpath.model.entries import Entry
from goldenpath.model.events import MessageReceived, RunError, ThreadDeleted
from goldenpath.model.ids import ApprovalId, RunId, ThreadId
from goldenpath.model.journal import RunOpened
from goldenpath.model.projections import Rows, apply, keys
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow

encode = msgspec.json.Encoder().encode
_threads = msgspec.json.Decoder(ThreadRow)
_runs = msgspec.json.Decoder(RunRow)
_approvals = msgspec.json.Decoder(ApprovalRow)
_receipts = msgspec.json.Decoder(Receipt)
_errors = msgspec.json.Decoder(RunError)


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except UNREADABLE as error:
        raise StoreUnavailableError(f"a row cannot be read: {error}") from error


def run_body(row: RunRow) -> bytes:
    """What is kept of a run beside its question and output, which have columns of their own."""
    return encode(replace(row, text="", output=None))


def run_of(body: bytes, question: bytes, output: bytes | None) -> RunRow:
    """The run of a row."""
    row: RunRow = _decoded(_runs, body)
    return replace(row, text=question.decode(), output=None if output is None else output.decode())


def receipt_body(receipt: Receipt) -> bytes:
    """What is kept of a receipt beside the hash, which erasing takes away."""
    return encode(replace(receipt, body_hash=None))


def thread_of(body: bytes) -> ThreadRow:
    """The thread of a row."""
    return _decoded(_threads, body)


def approval_of(body: bytes) -> ApprovalRow:
    """The approval of a row."""
    return _decoded(_approvals, body)


def receipt_of(body: bytes, body_hash: str | None) -> Receipt:
    """The receipt of a row; the hash of the command's body may have been erased."""
    return replace(_decoded(_receipts, body), body_hash=body_hash)


def refusal_of(body: bytes) -> RunError:
    """Why a command was refused for now."""
    return _decoded(_errors, body)


class Changes:
    """Rows that entries change. `deleted` threads go first, with all that is theirs."""

    def __init__(self) -> None:
        self.threads: list[ThreadRow] = []
        self.runs: list[RunRow] = []
        self.approvals: list[ApprovalRow] = []
        self.receipts: list[Receipt] = []
        self.deleted: list[ThreadId] = []


NOTHING = Changes()
"""Most appends: output of an agent changes no row."""


class Missing:
    """Rows that must be known before entries can be folded."""

    def __init__(self, threads: set[ThreadId], runs: set[RunId], approvals: set[ApprovalId]):
        self.threads = threads
        self.runs = runs
        self.approvals = approvals

    def __bool__(self) -> bool:
        return bool(self.threads or self.runs or self.approvals)


_NONE_MISSING = Missing(set(), set(), set())
_THREADS_KEPT = 64


class KnownRows:
    """Rows of one user as of one head: open runs and approvals, and threads that were touched.

    None in place of a row: there is none.
    """

    def __init__(self) -> None:
        self.threads: dict[ThreadId, ThreadRow | None] = {}
        self.runs: dict[RunId, RunRow | None] = {}
        self.approvals: dict[ApprovalId, ApprovalRow | None] = {}

    def add(
        self,
        threads: Iterable[ThreadRow] = (),
        runs: Iterable[RunRow] = (),
        approvals: Iterable[ApprovalRow] = (),
    ) -> None:
        """Take over rows as the store has them."""
        self.threads.update((row.thread_id, row) for row in threads)
        self.runs.update((row.run_id, row) for row in runs)
        self.approvals.update((row.approval_id, row) for row in approvals)

    def found_none(self, missing: Missing) -> None:
        """What was looked for and not added since does not exist."""
        for key in missing.threads:
            self.threads.setdefault(key, None)
        for key in missing.runs:
            self.runs.setdefault(key, None)
        for key in missing.approvals:
            self.approvals.setdefault(key, None)

    def missing(self, entries: Sequence[Entry]) -> Missing:
        """Rows that these entries touch, and neither make nor find here."""
        if not entries:
            return _NONE_MISSING
        threads: set[ThreadId] = set()
        runs: set[RunId] = set()
        approvals: set[ApprovalId] = set()
        made: set[str] = set()
        for entry in entries:
            touched = keys(entry)
            body = entry.body
            if isinstance(body, MessageReceived) or (
                isinstance(body, RunOpened) and body.parent_run_id is not None
            ):
                made.add(touched.run_id or "")
            elif touched.run_id is not None and touched.run_id not in made:
                runs.add(touched.run_id)
            if touched.thread_id is not None and _changes_thread(entry):
                threads.add(touched.thread_id)
            if touched.approval_id is not None:
                approvals.add(touched.approval_id)
        return Missing(
            threads - self.threads.keys(), runs - self.runs.keys(),
            approvals - self.approvals.keys(),
        )  # fmt: skip

    def fold(self, entries: Sequence[Entry], *, anew: bool) -> Changes:
        """What the entries change; nothing is changed here. `anew`: nothing was there before."""
        if not entries:
            return NOTHING
        rows = Rows()
        if not anew:
            for entry in entries:
                touched = keys(entry)
                for mine, theirs, key in (
                    (self.threads, rows.threads, touched.thread_id),
                    (self.runs, rows.runs, touched.run_id),
                    (self.approvals, rows.approvals, touched.approval_id),
                ):
                    row: Any = None if key is None else mine.get(key)  # type: ignore[call-overload]
                    if row is not None:
                        theirs[key] = row  # type: ignore[index]
        before = (dict(rows.threads), dict(rows.runs), dict(rows.approvals))
        changes = Changes()
        for entry in entries:
            apply(rows, entry)
            if isinstance(entry.body, ThreadDeleted) and entry.thread_id is not None:
                changes.deleted.append(entry.thread_id)
        changes.threads = _changed(before[0], rows.threads)
        changes.runs = _changed(before[1], rows.runs)
        changes.approvals = _changed(before[2], rows.approvals)
        changes.receipts = list(rows.receipts.values())
        return changes

    def apply(self, changes: Changes, *, anew: bool) -> None:
        """Take over what became durable."""
        if anew:
            self.__init__()
        if changes is NOTHING:
            return
        for thread_id in changes.deleted:
            self.threads[thread_id] = None
            for run_id in [k for k, r in self.runs.items() if r and r.thread_id == thread_id]:
                del self.runs[run_id]
        self.threads.update((row.thread_id, row) for row in changes.threads)
        while len(self.threads) > _THREADS_KEPT:
            del self.threads[next(iter(self.threads))]
        for run in changes.runs:
            if run.open:
                self.runs[run.run_id] = run
            else:
                self.runs.pop(run.run_id, None)
        for approval in changes.approvals:
            if approval.decision is None:
                self.approvals[approval.approval_id] = approval
            else:
                self.approvals.pop(approval.approval_id, None)


def _changes_thread(entry: Entry) -> bool:
    body = entry.body
    return (isinstance(body, RunOpened) and body.parent_run_id is None) or entry.run_id is None


def _changed(before: dict[Any, Any], after: dict[Any, Any]) -> list[Any]:
    return [row for key, row in after.items() if before.get(key) is not row]
