"""`goldenpath check`: every invariant that a store can show, and its projections recomputed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from goldenpath.errors import CodecError, GrammarError, PositionError
from goldenpath.model.commands import Receipt
from goldenpath.model.entries import EncodedEntry, Entry, decode
from goldenpath.model.grammar import UserState
from goldenpath.model.grammar import apply as take
from goldenpath.model.ids import ORIGIN_MARK, CommandId, RunId, Seq, UserId
from goldenpath.model.projections import Rows
from goldenpath.model.projections import apply as project
from goldenpath.model.views import RunRow
from goldenpath.store.interface import Position, Store


class Breach(msgspec.Struct, frozen=True):
    """Something that must not be: whose log, which invariant, where, what."""

    user: UserId
    invariant: str
    seq: int | None
    message: str


async def verify(store: Store) -> list[Breach]:
    """Check every user. An empty list: nothing that a store can show is wrong."""
    breaches: list[Breach] = []
    after: UserId | None = None
    while page := await store.users(after):
        for user in page:
            breaches.extend(await verify_user(store, user))
        after = page[-1]
    return breaches


async def verify_user(store: Store, user: UserId) -> list[Breach]:
    """Check one user's log and projections, as of one moment of a quiet or slowly moving log."""
    check = _UserCheck(store, user)
    await check.log()
    await check.projections()
    return check.breaches


class _UserCheck:
    def __init__(self, store: Store, user: UserId) -> None:
        self.breaches: list[Breach] = []
        self._store = store
        self._user = user
        self._rows = Rows()
        self._state = UserState(0)
        self._incomplete: set[RunId] = set()
        """Runs of which entries were pruned or erased: their grammar cannot be replayed."""
        self._erased = False

    def _breach(self, invariant: str, seq: int | None, message: str) -> None:
        self.breaches.append(Breach(self._user, invariant, seq, message))

    async def _entries(self) -> AsyncIterator[tuple[EncodedEntry, Entry | None]]:
        head = (await self._store.head(self._user)).cursor
        at = 0
        while at < head:
            version, page = await self._store.entries(self._user, Seq(at))
            if not page:
                self._breach("seqs have no gaps", at + 1, f"the log ends at {at}, not at {head}")
                return
            for encoded in page:
                if encoded.seq > head:
                    return
                if encoded.seq != at + 1:
                    self._breach("seqs have no gaps", encoded.seq, f"follows {at}")
                at = encoded.seq
                try:
                    entry = decode(encoded, version) if encoded.json else None
                except CodecError as error:
                    self._breach("entries can be read", encoded.seq, str(error))
                    entry = None
                if entry is not None and entry.seq != encoded.seq:
                    self._breach("an entry knows its seq", encoded.seq, f"it says {entry.seq}")
                yield encoded, entry

    async def log(self) -> None:
        """Seqs, grammar, positions."""
        entries = [pair async for pair in self._entries()]
        hidden = {encoded.seq for encoded, entry in entries if entry is None}
        self._erased = bool(hidden)
        pruned_runs = self._runs_around(entries, hidden)
        for encoded, entry in entries:
            self._state.head = encoded.seq - 1
            if entry is None:
                continue
            project(self._rows, entry)
            if entry.run_id is not None and entry.run_id in pruned_runs:
                continue
            try:
                take(self._state, entry)
            except GrammarError as error:
                self._breach("the grammar of runs", encoded.seq, str(error))
        self._state.head = len(entries)
        head = await self._store.head(self._user)
        try:
            await self._store.read(self._user, head, 1)
            await self._store.read(self._user, Position(ORIGIN_MARK, Seq(0)), 1)
        except PositionError as error:
            self._breach("positions of this log are known", head.cursor, str(error))

    @staticmethod
    def _runs_around(
        entries: list[tuple[EncodedEntry, Entry | None]], hidden: set[int]
    ) -> set[RunId]:
        """Runs whose span holds a pruned entry: what is missing may have been theirs."""
        first: dict[RunId, int] = {}
        last: dict[RunId, int] = {}
        for encoded, entry in entries:
            if entry is not None and entry.run_id is not None:
                first.setdefault(entry.run_id, encoded.seq)
                last[entry.run_id] = encoded.seq
        if not hidden:
            return set()
        ordered = sorted(hidden)
        return {
            run_id
            for run_id in first
            if any(first[run_id] - 1 <= seq <= last[run_id] + 1 for seq in ordered)
        }

    async def projections(self) -> None:
        """Stored rows equal the fold of the log, where the log still has it all."""
        store, user, rows = self._store, self._user, self._rows
        for thread_id, row in rows.threads.items():
            if await store.thread(user, thread_id) != row:
                self._breach("projections", row.created_seq, f"thread {thread_id} differs")
        stored = await store.threads(user, 1_000_000, None)
        for row in stored:
            if row.thread_id not in rows.threads:
                self._breach("projections", row.created_seq, f"thread {row.thread_id} is extra")
        kept = {row.run_id: row for _, row in await store.runs(user, None, 1_000_000)}
        for run_id, row in rows.runs.items():
            known = kept.pop(run_id, None)
            if known is None or not self._same(known, row):
                self._breach("projections", row.first_seq, f"run {run_id} differs")
        for run_id, row in kept.items():
            if not self._erased:
                self._breach("projections", row.first_seq, f"run {run_id} is extra")
        for approval_id, row in rows.approvals.items():
            known = await store.approval(user, approval_id)
            if known != row:
                self._breach("projections", row.requested_seq, f"approval {approval_id} differs")
        await self._receipts(rows.receipts)

    def _same(self, known: RunRow, row: RunRow) -> bool:
        """Pruning takes journal values, from which an open run's budget is told."""
        if known == row or not self._erased:
            return known == row
        fields = ("status", "output", "error", "text", "thread_id", "first_seq", "last_seq")
        return all(getattr(known, name) == getattr(row, name) for name in fields)

    async def _receipts(self, receipts: dict[CommandId, Receipt]) -> None:
        waiting = {command.command_id for command in await self._store.pending(self._user)}
        for command_id, receipt in receipts.items():
            if command_id in waiting:
                self._breach("a settled command waits no more", receipt.seq, command_id)
            known = await self._store.outcome(self._user, command_id)
            if not isinstance(known, Receipt) or (known.run_id, known.seq) != (
                receipt.run_id,
                receipt.seq,
            ):
                self._breach("a settled command has its receipt", receipt.seq, command_id)
