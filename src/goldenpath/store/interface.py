"""The store: one durable log for each user, its inbox, its projections.

Clauses. Each has a test of its number in `tests/store/test_conformance.py`, run on every store.

Inbox
 S1  `submit` is durable when it returns. `new` once for an id; then `waiting` until it is settled
     and `settled` with its receipt for ever after, also after a restart.
 S2  The same id with another body raises `RefusedError("id_reused")`, whatever the first's state.
 S3  `pending` gives the waiting commands of one user in the order of submission, each once.
 S4  `append` ends waiting commands by their ids: those with a `CommandSettled` entry become
     receipts, those in `refused` become refusals, all in the append's transaction. A command
     submitted before or during an append and not named by it stays waiting.
 S5  A refusal is kept for an hour; submitting that id again sets it waiting (`new`).
Appending
 A1  An append is applied only if epoch, mark and head all equal the store's; else
     `StoreRefusedError`, and nothing is changed.
 A2  Entries must be numbered head+1, head+2, ...; all of an append is applied, or nothing.
 A3  Repeating the append id that was applied last succeeds and changes nothing, also after
     the activation ended.
 A4  A returned append is durable. `StoreUnavailableError` means that the outcome is unknown.
 A5  Users are independent: a refused append of one has no effect on another's in the same group.
 A6  An append may have no entries; it still settles commands and sets due.
Reading
 R1  `read` gives entries after the cursor, in order, without gap; an entry that was seen is never
     followed by a new one at or below it. `to - from == len(events) + hidden`.
 R2  `hidden` counts the internal, pruned and erased entries that the reader met.
 R3  Only what is durable is read. A read that begins after an append returned sees it.
 R4  A position is valid if its mark is known and the cursor is not past that activation's last
     seq; ("0", 0) is valid in every log. Otherwise `PositionError`.
 R5  `mark` of a batch is of the activation that wrote entry `to`; with an empty batch the
     position's own mark.
 R6  `watch` wakes after each append or submit of that user at the latest; it carries no data, may
     wake for nothing, and a wake between `watch()` and `wait()` is not lost.
 R7  Reading never waits for writers and appending never for readers.
 R8  A batch honours `limit` entries and about `max_bytes`, with at least one entry if there is one.
 R9  A batch that says `more` is false reached the head: what is behind it was appended later, and
     wakes the watches that were there before.
Leases
 L1  `acquire` gives an epoch greater than any before for that user, and a new mark.
 L2  After `acquire`, appends with an older epoch are refused for ever.
 L3  `acquire` of a user whose lease another live host holds raises `LeaseHeldError`; the same host
     may acquire again (its older epoch is fenced). A host is alive until whoever asks has seen it
     not renew for `lease_seconds`, on its own monotonic clock and without an error in between.
 L4  `release` gives the lease back; releasing an older epoch does nothing.
 L5  A restored or wiped store never repeats a mark.
 L6  `held` is every user whose lease a host has, with the epoch under which it has it.
 L7  `hosts` lists whoever renewed, with what it last said of itself, until it is closed.
Demand
 D1  `demand(now)` lists users with waiting commands or with due <= now, and only those.
 D2  `due` is what the last append said; None clears it.
 D3  `demand(now, host)` leaves out whom another host serves that is seen to live, and of the
     host's own users those without a waiting command: their engines know when they are due.
Projections
 P1  Threads, runs, messages, approvals and receipts reflect every append that returned before the
     read, each list as of one moment, and equal the fold of `model.projections` over the log.
 P2  Every read names its owner; a foreign id is answered as one that does not exist (None).
 P3  Pages: newest first, `before` exclusive, no item twice or missed while new ones arrive.
Receipts of delivery
 K1  `acknowledge` is monotonic for each device, never past the head, and durable. A device beyond
     the first `devices` counts as a reader without a name.
 K2  An answer is undelivered while no device acked and no reader fetched its terminal.
 K3  `fetched` is a receipt for the answers of the named runs and for no other.
 K4  `claim_notices` gives answers that are undelivered and ended in the time asked for, each to one
     caller: a claim is durable, counts an attempt, and is repeated by nobody before `again_ms`.
     Those that ended before that time it counts once, when they are due, and never gives again.
 K5  `notified` is for one answer of one user: no claim gives it again, also after a restart and in
     a copy.
 K6  What is erased, by its user or by age, is in no claim.
Erasing
 E1  `erase_threads` and `erase_user` of an append remove what was there before it: texts, journal
     values, arguments, results, titles, body hashes and (of a user) names of devices. No read,
     search or file (after `compact`) shows them; seqs stay and count as hidden, receipts stay,
     and so do commands that wait. Refusals of an erased user go, with the hashes they keep.
 E2  `prune(before)` hides `agent_output`, thinking, progress and journal values of runs that ended
     before, children with their root; open runs, terminals, messages and marks stay. With
     `everything` those runs are erased, and so is each thread that was created before and has no
     run (left): as if it was deleted, without an entry that says so.
 E3  Both are safe under readers: no reader sees a gap, a repeat, or half of it.
Keeping
 B1  `backup` is a consistent copy, made while appends go on; after a restore every activation is
     new and positions past the copy's head are refused (`PositionError`).
 B2  A store that cannot write says so: `StoreUnavailableError`, `status().writable` false; reads
     go on; when it can write again it does, without a restart, and what was acknowledged is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec

from goldenpath.model.commands import Receipt
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.events import RunError
from goldenpath.model.ids import (
    AppendId,
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
from goldenpath.model.views import ApprovalRow, OpenPart, OpenTool, RunRow, RunStatus, ThreadRow


class Position(NamedTuple):
    """Where a reader stands: the cursor and the mark of the activation that wrote it."""

    mark: Mark
    cursor: Seq


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What a read found: events as stored JSON, and how many entries were hidden.

    `more` is false only if nothing was behind `to` (R9): then a watch tells of what comes next.
    """

    mark: Mark
    from_: Seq
    to: Seq
    hidden: int
    events: list[bytes]
    more: bool = True


class Submission(msgspec.Struct, frozen=True):
    """State of a submitted command; `receipt` is there when it is settled."""

    state: Literal["new", "waiting", "settled"]
    receipt: Receipt | None = None


class PendingCommand(msgspec.Struct, frozen=True):
    """A waiting command: its canonical body and that body's hash."""

    command_id: CommandId
    body: bytes
    body_hash: str


class Refusal(msgspec.Struct, frozen=True):
    """A command that was refused for now (`busy`, `queue_full`); its id may be sent again."""

    command_id: CommandId
    error: RunError


class Append(msgspec.Struct, frozen=True, kw_only=True):
    """One atomic addition to a user's log; see clauses A and S."""

    user: UserId
    epoch: int
    mark: Mark
    head: Seq
    append_id: AppendId
    entries: Sequence[EncodedEntry]
    refused: Sequence[Refusal] = ()
    due_ms: int | None = None
    erase_threads: Sequence[ThreadId] = ()
    erase_user: bool = False
    """Erase all that the user had before; no run may be open."""
    now_ms: int
    """For keeping refusals an hour; no correctness depends on it."""


class Activation(msgspec.Struct, frozen=True, kw_only=True):
    """A granted lease: what an engine needs to begin."""

    epoch: int
    mark: Mark
    head: Seq
    open_runs: list[RunRow]
    """Ordered by first_seq."""
    open_approvals: list[ApprovalRow]


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """An open run as a client's history shows it."""

    run: RunRow
    parts: list[OpenPart]
    tools: list[OpenTool]
    approvals: list[ApprovalRow]


class History(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of a thread newest first (root runs only), open ones, all as of one position."""

    runs: list[RunRow]
    """Ended and open root runs; `queued_ms`, `text` are the question, `output` the answer."""
    open_runs: list[OpenRun]
    as_of: Position


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A hit of `search`: the run whose question (`user`) or answer (`assistant`) matches."""

    run: RunRow
    role: Literal["user", "assistant"]


class UndeliveredAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An ended root run whose terminal no device acknowledged and no reader fetched."""

    user: UserId
    run: RunRow


NOTICE_FIRST_MS = 30_000
"""From the first claim of a notice to the second; each pause is twice the one before."""
NOTICE_MOST_MS = 3_600_000
"""The longest of these pauses."""


def notice_pause_ms(attempt: int, stretch: float) -> int:
    """The pause after an attempt (1, 2, ...); `stretch` (1 or more) spreads what failed at once."""
    doubled = NOTICE_FIRST_MS * 2 ** min(attempt - 1, 30)
    return round(min(doubled, NOTICE_MOST_MS) * stretch)


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """An undelivered answer of which somebody outside is to be told; it holds no text."""

    user: UserId
    thread_id: ThreadId
    run_id: RunId
    agent: str
    status: RunStatus
    ended_ms: int
    attempt: int
    """1 for the first claim."""
    again_ms: int
    """When it is claimed again, unless `notified` says that it was told."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What `claim_notices` gives, and how many answers it gave up instead, as too old."""

    notices: list[Notice]
    given_up: int = 0


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the store can write; `reason` is one line for an operator when it cannot."""

    writable: bool
    reason: str | None = None


class HostReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a host says of itself, for operators and for sharing the work."""

    name: str = ""
    version: str = ""
    engines: int = 0
    waiting: int = 0
    """Runs that wait for their turn."""
    draining: bool = False


class LivingHost(NamedTuple):
    """A host that is seen to renew."""

    host: HostId
    report: HostReport


class Pulse(msgspec.Struct, frozen=True, kw_only=True):
    """What a renewal shows. `now_ms` is the store's clock (Unix milliseconds), if it has one."""

    now_ms: int | None = None
    others: list[LivingHost] = msgspec.field(default_factory=list[LivingHost])
    found_dead: bool = False
    """Another host was found dead, the first time now: its users wait."""
    leave: bool = False
    """An operator asked this host to drain and go."""


class HostView(msgspec.Struct, frozen=True, kw_only=True):
    """A host as an operator sees it."""

    host: HostId
    report: HostReport
    leases: int
    started_ms: int
    age_ms: int
    """Since its last renewal, by the store's clock."""


class CommitStats(msgspec.Struct):
    """Running totals for metrics: groups, operations in them, seconds spent committing."""

    groups: int = 0
    operations: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0
    last_size: int = 0


class Watch(Protocol):
    """Wakes when there may be something new for a user; see R6."""

    async def wait(self) -> None:
        """Return after the next wake-up, at once if one came since the last return."""
        ...

    def close(self) -> None:
        """Stop watching; idempotent."""
        ...


class Store(Protocol):
    """See the module's clauses."""

    stats: CommitStats
    lease_seconds: float | None
    """How long a host must be seen not to renew before another may take its leases; None where
    one process has the store, whose leases end with it."""

    async def close(self) -> None:
        """Finish what was begun and free the store; later calls raise `StoreUnavailableError`."""
        ...

    def status(self) -> StoreStatus: ...

    # inbox
    async def submit(
        self, user: UserId, command_id: CommandId, body: bytes, now_ms: int
    ) -> Submission: ...
    async def pending(self, user: UserId) -> list[PendingCommand]: ...
    async def outcome(self, user: UserId, command_id: CommandId) -> Receipt | Refusal | None:
        """The receipt or refusal of a command; None while it waits or is unknown."""
        ...

    # log
    def append(self, append: Append) -> Awaitable[None]:
        """See clauses A. A future or a coroutine: to be awaited in any case."""
        ...

    async def read(
        self, user: UserId, position: Position, limit: int = 1000, max_bytes: int = 1 << 20
    ) -> Batch: ...
    async def entries(
        self, user: UserId, after: Seq, limit: int = 1000
    ) -> tuple[int, list[EncodedEntry]]:
        """(codec version, entries with journal) after a seq; for engines and operators."""
        ...

    async def head(self, user: UserId) -> Position:
        """The last entry's position; ("0", 0) for an empty log."""
        ...

    def watch(self, user: UserId) -> Watch: ...

    # leases and demand
    async def acquire(self, user: UserId, host: HostId, mark: Mark) -> Activation: ...
    async def release(self, user: UserId, epoch: int) -> None: ...
    async def renew(self, host: HostId, report: HostReport) -> Pulse:
        """Say that the host lives, and look whether the others do."""
        ...

    async def held(self, host: HostId) -> dict[UserId, int]:
        """See clause L6."""
        ...

    async def hosts(self) -> list[HostView]:
        """See clause L7."""
        ...

    def on_news(self, tell: Callable[[UserId | None], None]) -> None:
        """Have `tell` called when another host has made a user's command durable, or (None) has
        given a user back who waits. A hint: it may be lost, or come for nothing."""
        ...

    async def demand(
        self, now_ms: int, limit: int = 1000, host: HostId | None = None
    ) -> list[UserId]:
        """See clauses D1 and D3."""
        ...

    async def next_due(self) -> int | None:
        """The least due (Unix milliseconds) of any user, to sleep until; None without."""
        ...

    # projections
    async def threads(
        self, user: UserId, limit: int, before: tuple[int, ThreadId] | None
    ) -> list[ThreadRow]:
        """Ordered by (created_ms, thread_id), newest first."""
        ...

    async def thread(self, user: UserId, thread_id: ThreadId) -> ThreadRow | None: ...
    async def history(
        self, user: UserId, thread_id: ThreadId, limit: int, before: Seq | None
    ) -> History | None:
        """`before` is a run's first_seq; None if there is no such thread."""
        ...

    async def run(self, user: UserId, run_id: RunId) -> RunRow | None: ...
    async def runs(
        self, user: UserId | None, status: str | None, limit: int
    ) -> list[tuple[UserId, RunRow]]:
        """For operators: newest first."""
        ...

    async def approval(self, user: UserId, approval_id: ApprovalId) -> ApprovalRow | None: ...
    async def search(self, user: UserId, words: Sequence[str], limit: int) -> list[Found]:
        """Newest first; every word a case-insensitive prefix of a word of the text."""
        ...

    # receipts of delivery
    async def acknowledge(
        self, user: UserId, device: DeviceId | None, position: Position, devices: int = 50
    ) -> None:
        """`device` None: fetched by a reader that cannot acknowledge. Raises `PositionError`."""
        ...

    async def fetched(self, user: UserId, run_ids: Sequence[RunId]) -> None:
        """Answers of these runs were read in a history; unknown and open ones are passed over."""
        ...

    async def undelivered(self, limit: int = 1000) -> list[UndeliveredAnswer]: ...
    async def claim_notices(
        self,
        now_ms: int,
        *,
        ended_after_ms: int,
        ended_before_ms: int,
        stretch: float = 1.0,
        limit: int = 100,
    ) -> Claim:
        """See clause K4: those that ended at `ended_before_ms` or earlier, at most `limit`, whoever
        has waited longest first; they are given up if that was at `ended_after_ms` or earlier.
        `again_ms` is `now_ms` and `notice_pause_ms`."""
        ...

    async def notified(self, user: UserId, run_id: RunId) -> None:
        """See clause K5; unknown answers are passed over."""
        ...

    # erasing and keeping
    async def prune(self, before_ms: int, *, everything: bool = False, limit: int = 100) -> int:
        """Prune runs that ended before; with `everything` erase them (retention), and threads
        without a run. Counts the runs and threads that are done, each once: `limit` at most, and
        0 when none is left."""
        ...

    async def compact(self, *, locking: bool = True) -> None:
        """Leave no trace of erased text in the store's files.

        Without `locking` as far as that goes while everybody else goes on.
        """
        ...

    async def backup(self, target: Path) -> None: ...
    async def users(self, after: UserId | None = None, limit: int = 1000) -> list[UserId]:
        """All users in order of id; for `check` and operators."""
        ...
