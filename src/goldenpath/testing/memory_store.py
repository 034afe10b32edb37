"""A store in memory with the exact semantics of the interface: deterministic, without threads.

The durable state is a `Disk`; a simulated crash drops the store and opens another on the same one.
Every mutating operation is one synchronous step on it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from goldenpath.errors import (
    LeaseHeldError,
    RefusedError,
    StoreRefusedError,
    StoreUnavailableError,
)
from goldenpath.model.commands import Receipt, body_hash
from goldenpath.model.entries import CODEC_VERSION, EncodedEntry, decode
from goldenpath.model.ids import (
    ApprovalId,
    CommandId,
    DeviceId,
    HostId,
    Mark,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.model.projections import PROJECTING, Rows, apply, open_run_view
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.chunks import PRUNED_TYPES as _PRUNED
from goldenpath.store.interface import (
    Activation,
    Append,
    Batch,
    Claim,
    CommitStats,
    Found,
    History,
    HostReport,
    HostView,
    LivingHost,
    Notice,
    OpenRun,
    PendingCommand,
    Position,
    Pulse,
    Refusal,
    StoreStatus,
    Submission,
    UndeliveredAnswer,
    Watch,
    notice_pause_ms,
)
from goldenpath.store.words import hits
from goldenpath.testing.memory_disk import Disk, HostBeat, InboxRow, UserRecord, keep_backup

_REFUSAL_MS = 3_600_000


class MemoryWatch:
    """One event; set by every append and submit of the user, by whichever store."""

    def __init__(self, disk: Disk, user: UserId, relook_seconds: float | None) -> None:
        self._watches = disk.watches.setdefault(user, {})
        self._relook = relook_seconds
        self._news = False
        self._waiter: asyncio.Future[None] | None = None
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._watches[self] = None

    def notify(self) -> None:
        self._news = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def wait(self) -> None:
        # One timer for many waits: a timeout for each costs a simulation more than what they wait
        # for, which mostly comes at once.
        if not self._news:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            if self._relook is not None:
                self._until = loop.time() + self._relook
                if self._timer is None:
                    self._timer = loop.call_at(self._until, self._look)
            await self._waiter
        self._news = False

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = None
        if loop.time() >= self._until:
            self.notify()
        elif self._waiter is not None and not self._waiter.done():
            self._timer = loop.call_at(self._until, self._look)

    def close(self) -> None:
        self._watches.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
        self.notify()


class MemoryStore:
    """See goldenpath.store.interface for the clauses.

    With `lease_seconds` the disk is a database that several hosts share, each by a store of its
    own; without it the one process that has the disk.
    """

    def __init__(self, disk: Disk | None = None, *, lease_seconds: float | None = None) -> None:
        self.disk = disk or Disk()
        self.stats = CommitStats()
        self.lease_seconds = lease_seconds
        self.dead = False
        self._seen: dict[HostId, tuple[int, float]] = {}
        """What was seen of other hosts: their beat, and since when it has been that."""
        self._found_dead: set[HostId] = set()
        if lease_seconds is None:
            # A process that starts finds the leases of the one before it dead.
            for record in self.disk.users.values():
                record.holder = None

    async def close(self) -> None:
        self.dead = True
        self.disk.told.pop(self, None)

    def status(self) -> StoreStatus:
        if self.disk.writable and not self.dead:
            return StoreStatus(writable=True)
        return StoreStatus(writable=False, reason="the disk is full; free some space")

    def _alive(self) -> None:
        if self.dead:
            raise StoreUnavailableError("the store is closed")

    def _write(self, user: UserId) -> UserRecord:
        self._alive()
        if not self.disk.writable:
            raise StoreUnavailableError("the disk is full; free some space")
        self.stats.groups += 1
        self.stats.operations += 1
        return self.disk.users.setdefault(user, UserRecord())

    def _read(self, user: UserId) -> UserRecord:
        if self.dead:
            self._alive()
        return self.disk.user(user)

    def _notify(self, user: UserId) -> None:
        for watch in tuple(self.disk.watches.get(user, ())):
            watch.notify()

    # -- inbox -------------------------------------------------------------------------------

    async def submit(
        self, user: UserId, command_id: CommandId, body: bytes, now_ms: int
    ) -> Submission:
        record = self._write(user)
        digest = body_hash(body)
        receipt = record.rows.receipts.get(command_id)
        if receipt is not None:
            if receipt.body_hash not in (None, digest):
                raise RefusedError("id_reused", "This id was used for another command.")
            return Submission("settled", receipt)
        row = record.inbox.get(command_id)
        if row is not None and row.refusal is not None and row.refused_ms + _REFUSAL_MS < now_ms:
            del record.inbox[command_id]
            row = None
        if row is not None:
            if row.command.body_hash != digest:
                raise RefusedError("id_reused", "This id was used for another command.")
            if row.refusal is None:
                return Submission("waiting")
            del record.inbox[command_id]
        record.inbox[command_id] = InboxRow(PendingCommand(command_id, body, digest))
        self._notify(user)
        self._tell(user)
        return Submission("new")

    async def pending(self, user: UserId) -> list[PendingCommand]:
        inbox = self._read(user).inbox.values()
        return [row.command for row in inbox if row.refusal is None]

    async def outcome(self, user: UserId, command_id: CommandId) -> Receipt | Refusal | None:
        record = self._read(user)
        row = record.inbox.get(command_id)
        if row is not None:
            return row.refusal
        return record.rows.receipts.get(command_id)

    # -- log ---------------------------------------------------------------------------------

    async def append(self, append: Append) -> None:
        record = self._write(append.user)
        if append.append_id == record.last_append:
            return
        if (append.epoch, append.mark, append.head) != (record.epoch, record.mark, record.head):
            raise StoreRefusedError(
                f"({append.epoch}, {append.mark}, {append.head}) is not the store's "
                f"({record.epoch}, {record.mark}, {record.head})"
            )
        seqs = [entry.seq for entry in append.entries]
        if seqs != list(range(record.head + 1, record.head + 1 + len(seqs))):
            raise StoreRefusedError(f"entries {seqs} do not follow {record.head}")
        # Decoded before anything is changed: what cannot be read leaves no half of an append.
        bodies = [decode(encoded) for encoded in append.entries if encoded.type in PROJECTING]
        # What this append says of a deletion stays: clients must hear of it.
        for thread_id in append.erase_threads:
            self._erase(record, thread_id)
        if append.erase_user:
            self._erase(record, None)
            receipts = record.rows.receipts
            record.rows = Rows()
            record.rows.receipts = {k: replace(v, body_hash=None) for k, v in receipts.items()}
            record.acks.clear()
            self._forget_refusals(record)
        record.entries.extend(append.entries)
        for entry in bodies:
            apply(record.rows, entry)
        self._forget_notices(record)
        for command_id in list(record.inbox):
            if command_id in record.rows.receipts:
                del record.inbox[command_id]
        for refusal in append.refused:
            row = record.inbox.get(refusal.command_id)
            if row is not None:
                # Whoever sends it again sends its text again; what is kept is whose id it is.
                command = replace(row.command, body=b"")
                record.inbox[refusal.command_id] = InboxRow(command, refusal, append.now_ms)
        for command_id, row in list(record.inbox.items()):
            if row.refusal is not None and row.refused_ms + _REFUSAL_MS < append.now_ms:
                del record.inbox[command_id]
        record.due_ms = append.due_ms
        record.last_append = append.append_id
        self._notify(append.user)

    @staticmethod
    def _hide(record: UserRecord, index: int) -> None:
        entry = record.entries[index]
        record.entries[index] = EncodedEntry(entry.seq, entry.type, entry.internal, b"")

    @staticmethod
    def _forget_refusals(record: UserRecord) -> None:
        for command_id in [key for key, row in record.inbox.items() if row.refusal is not None]:
            del record.inbox[command_id]

    @staticmethod
    def _forget_notices(record: UserRecord) -> None:
        """Those of runs that are not there any more."""
        for run_id in [one for one in record.notices if one not in record.rows.runs]:
            del record.notices[run_id]

    def _erase(self, record: UserRecord, thread_id: ThreadId | None) -> None:
        """Hide the entries of a thread; None: all."""
        for index, entry in enumerate(record.entries):
            if entry.json and (thread_id is None or decode(entry).thread_id == thread_id):
                self._hide(record, index)

    async def read(
        self, user: UserId, position: Position, limit: int = 1000, max_bytes: int = 1 << 20
    ) -> Batch:
        record = self._read(user)
        record.check(position)
        events: list[bytes] = []
        hidden = size = 0
        to = int(position.cursor)
        for entry in record.entries[position.cursor : position.cursor + limit]:
            if size >= max_bytes:
                break
            json = entry.json
            size += len(json)
            to = entry.seq
            if entry.internal or not json:
                hidden += 1
            else:
                events.append(json)
        mark = position.mark if to == position.cursor else record.mark_at(to)
        return Batch(mark, position.cursor, Seq(to), hidden, events, to < len(record.entries))

    async def entries(
        self, user: UserId, after: Seq, limit: int = 1000
    ) -> tuple[int, list[EncodedEntry]]:
        return CODEC_VERSION, self._read(user).entries[after : after + limit]

    async def head(self, user: UserId) -> Position:
        record = self._read(user)
        return Position(record.mark_at(record.head), Seq(record.head))

    def watch(self, user: UserId) -> Watch:
        # A notification between hosts may be lost: that must cost time, but no event.
        return MemoryWatch(self.disk, user, self.lease_seconds)

    # -- leases and demand -------------------------------------------------------------------

    async def acquire(self, user: UserId, host: HostId, mark: Mark) -> Activation:
        record = self._write(user)
        if record.holder is not None and record.holder != host and self._lives(record.holder):
            raise LeaseHeldError(f"{user} is held by {record.holder}")
        record.holder = host
        record.epoch += 1
        record.marks.append((record.head + 1, mark))
        return Activation(
            epoch=record.epoch,
            mark=mark,
            head=Seq(record.head),
            open_runs=self.disk.open_runs(user),
            open_approvals=[
                a
                for a in record.rows.approvals.values()
                if a.decision is None and record.rows.runs[a.run_id].open
            ],
        )

    async def release(self, user: UserId, epoch: int) -> None:
        record = self._write(user)
        if record.epoch == epoch:
            record.holder = None
            if record.due_ms == 0 or any(row.refusal is None for row in record.inbox.values()):
                self._tell(None)

    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        self._alive()
        now = asyncio.get_running_loop().time()
        hosts = self.disk.hosts
        beat = hosts.setdefault(host, HostBeat(0, report, now, now))
        beat.count, beat.report, beat.renewed = beat.count + 1, report, now
        if self.lease_seconds is None:
            return Pulse(now_ms=self.now_ms())
        holders = (record.holder for record in self.disk.users.values())
        others = [
            other for other in {**hosts, **dict.fromkeys(holders)} if other not in (None, host)
        ]
        lives = {other: self._lives(other) for other in others}
        dead = {other for other in others if not lives[other]}
        found, self._found_dead = dead - self._found_dead, dead
        living = [LivingHost(other, hosts[other].report) for other in others
                  if lives[other] and other in hosts]  # fmt: skip
        return Pulse(now_ms=self.now_ms(), others=living, found_dead=bool(found))

    def now_ms(self) -> int | None:
        """The clock of the database, if it has one."""
        return None

    async def held(self, host: HostId) -> dict[UserId, int]:
        self._alive()
        users = self.disk.users.items()
        return {user: record.epoch for user, record in users if record.holder == host}

    async def hosts(self) -> list[HostView]:
        now = asyncio.get_running_loop().time()
        return [
            HostView(
                host=host,
                report=beat.report,
                leases=len(await self.held(host)),
                started_ms=int(beat.started * 1000),
                age_ms=int((now - beat.renewed) * 1000),
            )
            for host, beat in self.disk.hosts.items()
        ]

    def on_news(self, tell: Callable[[UserId | None], None]) -> None:
        # In the context of whoever wants to hear it, not of whoever makes it known.
        loop, context = asyncio.get_running_loop(), contextvars.copy_context()

        def told(user: UserId | None) -> None:
            loop.call_soon(tell, user, context=context)

        self.disk.told[self] = told

    def _tell(self, user: UserId | None) -> None:
        for store, tell in tuple(self.disk.told.items()):
            if store is not self:
                tell(user)

    def _lives(self, host: HostId) -> bool:
        """Look at a host's beat; False if it has stood still for a lease's time."""
        if self.lease_seconds is None:
            return True
        now = asyncio.get_running_loop().time()
        beat = self.disk.hosts[host].count if host in self.disk.hosts else 0
        seen, since = self._seen.get(host, (None, now))
        if seen != beat:
            self._seen[host] = (beat, now)
            return True
        return now - since < self.lease_seconds

    def doubt(self) -> None:
        """The database did not answer: whom it did not answer either may live, though silent."""
        self._seen.clear()

    async def demand(
        self, now_ms: int, limit: int = 1000, host: HostId | None = None
    ) -> list[UserId]:
        self._alive()
        found: list[UserId] = []
        for user, record in self.disk.users.items():
            waits = any(row.refusal is None for row in record.inbox.values())
            due = record.due_ms is not None and record.due_ms <= now_ms
            if host is not None and record.holder == host:
                due = False
            elif host is not None and record.holder is not None and self._lives(record.holder):
                continue
            if waits or due:
                found.append(user)
        return found[:limit]

    async def next_due(self) -> int | None:
        self._alive()
        dues = (r.due_ms for r in self.disk.users.values() if r.due_ms is not None)
        return min(dues, default=None)

    # -- projections -------------------------------------------------------------------------

    async def threads(
        self, user: UserId, limit: int, before: tuple[int, ThreadId] | None
    ) -> list[ThreadRow]:
        rows = sorted(
            self._read(user).rows.threads.values(),
            key=lambda row: (row.created_ms, row.thread_id),
            reverse=True,
        )
        return [r for r in rows if before is None or (r.created_ms, r.thread_id) < before][:limit]

    async def thread(self, user: UserId, thread_id: ThreadId) -> ThreadRow | None:
        return self._read(user).rows.threads.get(thread_id)

    async def history(
        self, user: UserId, thread_id: ThreadId, limit: int, before: Seq | None
    ) -> History | None:
        record = self._read(user)
        if thread_id not in record.rows.threads:
            return None
        runs = sorted(
            (
                row
                for row in record.rows.runs.values()
                if row.thread_id == thread_id and row.parent_run_id is None
            ),
            key=lambda row: row.first_seq,
            reverse=True,
        )
        page = [row for row in runs if before is None or row.first_seq < before][:limit]
        open_runs = [
            self._open_run(record, row)
            for row in record.rows.runs.values()
            if row.open and row.thread_id == thread_id
        ]
        as_of = Position(record.mark_at(record.head), Seq(record.head))
        return History(runs=page, open_runs=open_runs, as_of=as_of)

    @staticmethod
    def _open_run(record: UserRecord, row: RunRow) -> OpenRun:
        entries = (decode(e) for e in record.entries[row.first_seq - 1 :] if e.json)
        parts, tools = open_run_view(e for e in entries if e.run_id == row.run_id)
        approvals = [
            a
            for a in record.rows.approvals.values()
            if a.run_id == row.run_id and a.decision is None
        ]
        return OpenRun(run=row, parts=parts, tools=tools, approvals=approvals)

    async def run(self, user: UserId, run_id: RunId) -> RunRow | None:
        return self._read(user).rows.runs.get(run_id)

    async def runs(
        self, user: UserId | None, status: str | None, limit: int
    ) -> list[tuple[UserId, RunRow]]:
        self._alive()
        found = [
            (owner, row)
            for owner, record in self.disk.users.items()
            if user is None or owner == user
            for row in record.rows.runs.values()
            if status is None or row.status == status
        ]
        return sorted(found, key=lambda f: (f[1].queued_ms, f[1].run_id), reverse=True)[:limit]

    async def approval(self, user: UserId, approval_id: ApprovalId) -> ApprovalRow | None:
        return self._read(user).rows.approvals.get(approval_id)

    async def search(self, user: UserId, words: Sequence[str], limit: int) -> list[Found]:
        found: list[Found] = []
        runs = self._read(user).rows.runs.values()
        for row in sorted(runs, key=lambda row: row.first_seq, reverse=True):
            if row.parent_run_id is None:
                found += hits(row, words)
        return found[:limit]

    # -- receipts of delivery ----------------------------------------------------------------

    async def acknowledge(
        self, user: UserId, device: DeviceId | None, position: Position, devices: int = 50
    ) -> None:
        self._read(user).check(position)
        record = self._write(user)
        if device not in record.acks and sum(d is not None for d in record.acks) >= devices:
            device = None
        record.acks[device] = max(record.acks.get(device, 0), position.cursor)

    async def fetched(self, user: UserId, run_ids: Sequence[RunId]) -> None:
        record = self._write(user)
        runs = record.rows.runs
        record.fetched.update(one for one in run_ids if one in runs and not runs[one].open)

    async def undelivered(self, limit: int = 1000) -> list[UndeliveredAnswer]:
        self._alive()
        found: list[UndeliveredAnswer] = []
        for user, record in self.disk.users.items():
            seen = max(record.acks.values(), default=0)
            for row in record.rows.runs.values():
                if row.parent_run_id is not None or row.run_id in record.fetched:
                    continue
                if row.last_seq is not None and row.last_seq > seen:
                    found.append(UndeliveredAnswer(user=user, run=row))
        return found[:limit]

    async def claim_notices(
        self,
        now_ms: int,
        *,
        ended_after_ms: int,
        ended_before_ms: int,
        stretch: float = 1.0,
        limit: int = 100,
    ) -> Claim:
        due: list[tuple[int, UserId, RunRow]] = []
        for user, row in ((one.user, one.run) for one in await self.undelivered(1 << 40)):
            known = self.disk.users[user].notices.get(row.run_id)
            again_ms = row.ended_ms if known is None else known[1]
            if (
                again_ms is not None
                and again_ms <= now_ms
                and (row.ended_ms or 0) <= ended_before_ms
            ):
                due.append((again_ms, user, row))
        due = sorted(due, key=lambda one: one[0])[:limit]
        late = [one for one in due if (one[2].ended_ms or 0) <= ended_after_ms]
        for _, user, row in late:
            self._write(user).notices[row.run_id] = (0, None)
        claimed = [
            self._claim(user, row, now_ms, stretch)
            for _, user, row in due
            if (row.ended_ms or 0) > ended_after_ms
        ]
        return Claim(notices=claimed, given_up=len(late))

    def _claim(self, user: UserId, row: RunRow, now_ms: int, stretch: float) -> Notice:
        notices = self._write(user).notices
        attempt = notices.get(row.run_id, (0, None))[0] + 1
        again_ms = now_ms + notice_pause_ms(attempt, stretch)
        notices[row.run_id] = (attempt, again_ms)
        return Notice(
            user=user,
            thread_id=row.thread_id,
            run_id=row.run_id,
            agent=row.agent,
            status=row.status,
            ended_ms=row.ended_ms or 0,
            attempt=attempt,
            again_ms=again_ms,
        )

    async def notified(self, user: UserId, run_id: RunId) -> None:
        record = self._write(user)
        row = record.rows.runs.get(run_id)
        if row is not None and not row.open:
            record.notices[run_id] = (record.notices.get(run_id, (0, None))[0], None)

    # -- erasing and keeping -----------------------------------------------------------------

    async def prune(self, before_ms: int, *, everything: bool = False, limit: int = 100) -> int:
        self._alive()
        done = 0
        for user, record in self.disk.users.items():
            roots = [
                row
                for row in record.rows.runs.values()
                if row.parent_run_id is None and row.ended_ms is not None
                and row.ended_ms < before_ms
            ]  # fmt: skip
            for root in roots:
                runs = self._tree(record.rows, root)
                hidden = 0
                for index in range(root.first_seq - 1, root.last_seq or record.head):
                    entry = record.entries[index]
                    if not entry.json or not (everything or entry.type in _PRUNED):
                        continue
                    if decode(entry).run_id in runs:
                        self._hide(record, index)
                        hidden += 1
                if everything:
                    for run_id in runs:
                        del record.rows.runs[run_id]
                    self._forget_notices(record)
                    record.rows.approvals = {
                        k: a for k, a in record.rows.approvals.items() if a.run_id not in runs
                    }
                    for key, receipt in record.rows.receipts.items():
                        if receipt.run_id in runs:
                            record.rows.receipts[key] = replace(receipt, body_hash=None)
                done += bool(hidden)
                if done >= limit:
                    return done
            self._notify(user)
        return done + (self._erase_unused(before_ms, limit - done) if everything else 0)

    def _erase_unused(self, before_ms: int, limit: int) -> int:
        unused = [
            (user, record, thread_id)
            for user, record in self.disk.users.items()
            for thread_id in self._unused(record.rows, before_ms)
        ][:limit]
        for user, record, thread_id in unused:
            self._erase(record, thread_id)
            del record.rows.threads[thread_id]
            for key, receipt in record.rows.receipts.items():
                if receipt.thread_id == thread_id:
                    record.rows.receipts[key] = replace(receipt, body_hash=None)
            self._notify(user)
        return len(unused)

    @staticmethod
    def _unused(rows: Rows, before_ms: int) -> list[ThreadId]:
        """Threads that were created before, and have no run."""
        used = {run.thread_id for run in rows.runs.values()}
        return [
            row.thread_id
            for row in rows.threads.values()
            if row.created_ms < before_ms and row.thread_id not in used
        ]

    @staticmethod
    def _tree(rows: Rows, root: RunRow) -> set[RunId]:
        """A run and its children, at any depth."""
        tree = {root.run_id}
        grown = True
        while grown:
            more = {
                row.run_id
                for row in rows.runs.values()
                if row.parent_run_id in tree and row.run_id not in tree
            }
            tree |= more
            grown = bool(more)
        return tree

    async def compact(self, *, locking: bool = True) -> None:
        self._alive()

    async def backup(self, target: Path) -> None:
        self._alive()
        keep_backup(target, self.disk)

    async def users(self, after: UserId | None = None, limit: int = 1000) -> list[UserId]:
        self._alive()
        return sorted(u for u in self.disk.users if after is None or u > after)[:limit]
