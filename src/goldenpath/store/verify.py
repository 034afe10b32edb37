"""`goldenpath check`: every invariant that a store can show, and its projections recomputed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from goldenpath.errors import UNREADABLE, CodecError, GrammarError, PositionError
from goldenpath.model import events, journal
from goldenpath.model.commands import Receipt
from goldenpath.model.entries import TYPE_NAMES, EncodedEntry, Entry, decode
from goldenpath.model.grammar import UserState
from goldenpath.model.grammar import apply as take
from goldenpath.model.ids import (
    ORIGIN_MARK,
    ApprovalId,
    CommandId,
    Mark,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.model.projections import Rows
from goldenpath.model.projections import apply as project
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.interface import Batch, PendingCommand, Position, Refusal

_EVERYTHING = 1_000_000_000
_FOR_EVER = 1 << 62
"""Unix milliseconds after every due."""
_TRIES = 5


class Breach(msgspec.Struct, frozen=True):
    """Something that must not be: whose log, which invariant, where, what."""

    user: UserId
    invariant: str
    seq: int | None
    message: str


class Checked(Protocol):
    """The part of a `Store` that checking needs; see there."""

    async def pending(self, user: UserId) -> list[PendingCommand]: ...
    async def outcome(self, user: UserId, command_id: CommandId) -> Receipt | Refusal | None: ...
    async def read(self, user: UserId, position: Position, limit: int = ...) -> Batch: ...
    async def entries(
        self, user: UserId, after: Seq, limit: int = ...
    ) -> tuple[int, list[EncodedEntry]]: ...
    async def head(self, user: UserId) -> Position: ...
    async def demand(self, now_ms: int, limit: int = ...) -> list[UserId]: ...
    async def threads(
        self, user: UserId, limit: int, before: tuple[int, ThreadId] | None
    ) -> list[ThreadRow]: ...
    async def thread(self, user: UserId, thread_id: ThreadId) -> ThreadRow | None: ...
    async def runs(
        self, user: UserId | None, status: str | None, limit: int
    ) -> list[tuple[UserId, RunRow]]: ...
    async def run(self, user: UserId, run_id: RunId) -> RunRow | None: ...
    async def approval(self, user: UserId, approval_id: ApprovalId) -> ApprovalRow | None: ...
    async def users(self, after: UserId | None = None, limit: int = ...) -> list[UserId]: ...


async def verify(store: Checked) -> list[Breach]:
    """Check every user. An empty list: nothing that a store can show is wrong."""
    breaches: list[Breach] = []
    after: UserId | None = None
    while page := await store.users(after):
        for user in page:
            breaches.extend(await verify_user(store, user))
        after = page[-1]
    return breaches


async def verify_user(store: Checked, user: UserId) -> list[Breach]:
    """Check one user's log, projections and demand, also while the log grows."""
    breaches: list[Breach] = []
    for _ in range(_TRIES):
        head = await store.head(user)
        check = _UserCheck(store, user, head)
        await check.all()
        breaches = check.breaches
        if not breaches or head == await store.head(user):
            break
        # The log moved meanwhile: rows that are newer than the log as it was read are no breach.
    return breaches


class _UserCheck:
    def __init__(self, store: Checked, user: UserId, head: Position) -> None:
        self.breaches: list[Breach] = []
        self._head = head
        self._store = store
        self._user = user
        self._rows = Rows()
        self._hidden: list[int] = []
        """Seqs of what was pruned or erased, in order."""
        self._unseen: list[int] = []
        """Seqs that no reader gets as an event, in order."""
        self._left_out: set[RunId] = set()
        """Runs whose grammar is not followed (any more)."""

    async def all(self) -> None:
        """Run every check."""
        self._left_out = await self._incomplete()
        await self._log()
        await self._positions()
        await self._projections()
        await self._receipts()
        await self._demand()

    def _breach(self, invariant: str, seq: int | None, message: str) -> None:
        self.breaches.append(Breach(self._user, invariant, seq, message))

    # -- the log -----------------------------------------------------------------------------

    async def _pages(self) -> AsyncIterator[tuple[int, EncodedEntry]]:
        """(codec version, entry) of the log up to `head`, whatever their seqs."""
        at, head = 0, self._head.cursor
        while at < head:
            version, page = await self._store.entries(self._user, Seq(at))
            if not page or page[-1].seq <= at:
                return
            for encoded in page:
                if encoded.seq <= head:
                    yield version, encoded
            at = page[-1].seq

    async def _incomplete(self) -> set[RunId]:
        """Runs of which an entry may have been pruned or erased: they cannot be followed."""
        first: dict[RunId, int] = {}
        last: dict[RunId, int] = {}
        parents: dict[RunId, RunId] = {}
        async for version, encoded in self._pages():
            if encoded.hidden:
                self._unseen.append(encoded.seq)
            if not encoded.json:
                self._hidden.append(encoded.seq)
                continue
            try:
                entry = decode(encoded, version)
            except CodecError:
                self._hidden.append(encoded.seq)
                continue
            if entry.run_id is not None:
                first.setdefault(entry.run_id, encoded.seq)
                last[entry.run_id] = encoded.seq
            if isinstance(entry.body, journal.RunOpened) and entry.body.parent_run_id is not None:
                assert entry.run_id is not None
                parents[entry.run_id] = entry.body.parent_run_id
        found = {run_id for run_id in first if self._any_hidden(first[run_id], last[run_id])}
        for run_id, parent_id in parents.items():  # a child's entry is after its parent's
            if parent_id in found or parent_id not in first:
                found.add(run_id)
        return found

    def _any_hidden(self, first: int, last: int) -> bool:
        """True if something is hidden from right before `first` to right after `last`."""
        at = bisect_left(self._hidden, first - 1)
        return at < len(self._hidden) and self._hidden[at] <= last + 1

    async def _log(self) -> None:
        """Seqs, what entries say of themselves, the grammar; folds the projections."""
        state, ended, settled = UserState(), set[RunId](), set[CommandId]()
        at = 0
        async for version, encoded in self._pages():
            if encoded.seq != at + 1:
                self._breach("seqs have no gaps and no repeats", encoded.seq, f"follows {at}")
            at = encoded.seq
            if not encoded.json:
                continue
            try:
                entry = decode(encoded, version)
            except CodecError as error:
                self._breach("entries can be read", encoded.seq, str(error))
                continue
            self._itself(encoded, entry)
            project(self._rows, entry)
            body = entry.body
            if isinstance(body, journal.CommandSettled):
                if body.command_id in settled:
                    again = f"{body.command_id} was settled before"
                    self._breach("a command is settled once", encoded.seq, again)
                settled.add(body.command_id)
                continue
            self._follow(state, ended, encoded.seq, entry)
        if at != self._head.cursor:
            end = f"the log ends at {at}, not at {self._head.cursor}"
            self._breach("seqs have no gaps and no repeats", at + 1, end)

    def _itself(self, encoded: EncodedEntry, entry: Entry) -> None:
        """What stands beside an entry must be what stands in it."""
        if entry.seq != encoded.seq:
            self._breach("an entry knows its seq", encoded.seq, f"it says {entry.seq}")
        name = TYPE_NAMES[type(entry.body)]
        if (encoded.type, encoded.internal) != (name, entry.internal):
            text = f"a {name} is kept as {encoded.type}, internal: {encoded.internal}"
            self._breach("the journal is internal", encoded.seq, text)

    def _follow(self, state: UserState, ended: set[RunId], seq: int, entry: Entry) -> None:
        """The grammar, up to the first breach of each run."""
        run_id = entry.run_id
        if run_id is not None and run_id in ended:
            name = TYPE_NAMES[type(entry.body)]
            self._breach("nothing of a run follows its end", seq, f"{name} of run {run_id}")
            return
        if run_id is not None and isinstance(entry.body, events.AgentCompleted):
            ended.add(run_id)
        if run_id is not None and run_id in self._left_out:
            return
        state.head = entry.seq - 1
        try:
            take(state, entry)
        except GrammarError as error:
            self._breach("the grammar of runs", seq, str(error))
            if run_id is not None:
                self._left_out.add(run_id)
                state.runs.pop(run_id, None)

    # -- positions ---------------------------------------------------------------------------

    async def _positions(self) -> None:
        """Read it all as a client does: counts that add up, marks in order."""
        position = Position(ORIGIN_MARK, Seq(0))
        marks: list[Mark] = []
        try:
            while position.cursor < self._head.cursor:
                batch = await self._store.read(self._user, position, 1000)
                await self._batch(position, batch)
                if batch.to <= position.cursor:
                    return
                if not marks or marks[-1] != batch.mark:
                    if batch.mark in marks:
                        again = f"{batch.mark} comes again"
                        self._breach("marks are in order", batch.to, again)
                    marks.append(batch.mark)
                position = Position(batch.mark, batch.to)
            await self._store.read(self._user, self._head, 1)
        except PositionError as error:
            self._breach("positions of this log are known", position.cursor, str(error))

    async def _batch(self, position: Position, batch: Batch) -> None:
        seqs = [_seq(event) for event in batch.events]
        missing = set(range(batch.from_ + 1, batch.to + 1)) - set(seqs)
        known = _between(self._unseen, batch.from_, min(batch.to, self._head.cursor))
        fits = (
            batch.from_ == position.cursor
            and len(missing) == batch.hidden
            and batch.to - batch.from_ == batch.hidden + len(seqs)
            and seqs == sorted(seqs)
        )
        if fits and missing != known:
            # What was pruned or appended since then is hidden too.
            fits = known < missing <= await self._unseen_in(batch.from_, batch.to)
        if not fits:
            text = f"to {batch.to}: {len(seqs)} events, {batch.hidden} hidden, not {len(known)}"
            self._breach("what a reader gets adds up", batch.from_, text)

    async def _unseen_in(self, after: Seq, upto: Seq) -> set[int]:
        """What is hidden in (after, upto] by now."""
        found: set[int] = set()
        while after < upto:
            _, page = await self._store.entries(self._user, after, upto - after)
            if not page:
                break
            found.update(encoded.seq for encoded in page if encoded.hidden)
            after = Seq(page[-1].seq)
        return found

    # -- projections, receipts, demand ---------------------------------------------------------

    async def _projections(self) -> None:
        """Stored rows equal the fold of the log, where the log still has it all."""
        store, user, rows = self._store, self._user, self._rows
        for thread_id, row in rows.threads.items():
            known = await store.thread(user, thread_id)
            if known is None or not self._same_thread(known, row):
                self._breach("projections", row.created_seq, f"thread {thread_id} differs")
        for row in await store.threads(user, _EVERYTHING, None):
            if row.thread_id not in rows.threads:
                self._breach("projections", row.created_seq, f"thread {row.thread_id} is extra")
        kept = {row.run_id: row for _, row in await store.runs(user, None, _EVERYTHING)}
        for run_id, row in rows.runs.items():
            known = kept.pop(run_id, None)
            if known is None or not self._same_run(known, row):
                self._breach("projections", row.first_seq, f"run {run_id} differs")
        for run_id, row in kept.items():
            self._breach("projections", row.first_seq, f"run {run_id} is extra")
        for approval_id, row in rows.approvals.items():
            if await store.approval(user, approval_id) != row:
                self._breach("projections", row.requested_seq, f"approval {approval_id} differs")

    def _same_thread(self, known: ThreadRow, row: ThreadRow) -> bool:
        """Its agent is told by its newest run, which may be erased."""
        return known == (replace(row, agent=known.agent) if self._hidden else row)

    def _same_run(self, known: RunRow, row: RunRow) -> bool:
        """Pruning takes the journal, which alone tells what was left of an ended run's budget."""
        if self._hidden and not row.open and self._any_hidden(row.first_seq, known.last_seq or 0):
            row = replace(row, remaining_ms=known.remaining_ms)
        return known == row

    async def _receipts(self) -> None:
        waiting = {command.command_id for command in await self._store.pending(self._user)}
        for command_id, receipt in self._rows.receipts.items():
            if command_id in waiting:
                self._breach("a settled command waits no more", receipt.seq, command_id)
            known = await self._store.outcome(self._user, command_id)
            same = known == receipt
            if isinstance(known, Receipt) and known.body_hash is None and self._hidden:
                same = known == replace(receipt, body_hash=None)  # erased with its run or thread
            if not same:
                self._breach("a settled command has its receipt", receipt.seq, command_id)

    async def _demand(self) -> None:
        """Whoever has something to do is found by a host that looks, without a client."""
        store, user = self._store, self._user
        for row in self._rows.runs.values():
            if not row.open:
                continue
            due_ms = _FOR_EVER if row.due_ms is None else row.due_ms
            if user in await store.demand(due_ms, _EVERYTHING):
                continue
            now = await store.run(user, row.run_id)
            if now is not None and now.open and now.due_ms == row.due_ms:
                text = f"run {row.run_id} is open, and no host will look at it"
                self._breach("demand is durable", row.first_seq, text)
        waiting = {command.command_id for command in await store.pending(user)}
        if waiting and user not in await store.demand(0, _EVERYTHING):
            for command in await store.pending(user):
                if command.command_id in waiting:
                    text = f"command {command.command_id} waits, and no host will look at it"
                    self._breach("demand is durable", None, text)


class _Numbered(msgspec.Struct):
    seq: int


_numbered = msgspec.json.Decoder(_Numbered)


def _seq(event: bytes) -> int:
    """The seq that an event says; 0 for what is no event."""
    try:
        return _numbered.decode(event).seq
    except UNREADABLE:
        return 0


def _between(ordered: Sequence[int], after: int, upto: int) -> set[int]:
    """Those of `ordered` that are in (after, upto]."""
    return set(ordered[bisect_left(ordered, after + 1) : bisect_left(ordered, upto + 1)])
