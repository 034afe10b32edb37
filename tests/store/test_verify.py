"""`verify` names each kind of damage, and finds none in a log that was only pruned or erased."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from goldenpath.model import events, journal
from goldenpath.model.entries import EncodedEntry, Entry, decode, encode
from goldenpath.model.ids import ApprovalId, CallId, CommandId, Mark, RunId, Seq, ThreadId, UserId
from goldenpath.model.journal import StepKey
from goldenpath.store.interface import Batch, Store
from goldenpath.store.sqlite import open_reader, open_store
from goldenpath.store.verify import Breach, verify, verify_user
from goldenpath.testing.memory_disk import Disk, InboxRow, UserRecord
from goldenpath.testing.memory_store import MemoryStore
from tests.model.author import Author
from tests.store.sqlite.logs import Log, completed, piece, question

pytestmark = pytest.mark.anyio

ANN = UserId("ann")
LATE = 10**15


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def a_disk() -> Disk:
    """Two activations: an ended run of a tool, a run that waits for an approval, a command."""
    disk = Disk()
    store = MemoryStore(disk)
    log = await Log.begin(store, ANN)
    await log.new_thread()
    await log.ask("r1", "first")
    key, call = StepKey("", "look", "x", 0), CallId("k1")
    await log.append(
        [
            events.ToolExecuting(call_id=call, tool="look", arguments={}),
            journal.StepStarted(key=key, kind="tool", call_id=call, attempt=1, remaining_ms=9),
            journal.StepCompleted(key=key, value=1, remaining_ms=8),
            events.ToolCompleted(
                call_id=call, tool="look", status="ok", result=1, error=None,
                duration_ms=1, attempts=1,
            ),
        ],
        "r1",
    )  # fmt: skip
    await log.answer("r1", "an answer")
    await log.activate("m2")
    await log.ask("r2", "second")
    asks = ApprovalId("a1")
    await log.append(
        [
            events.ApprovalRequested(
                approval_id=asks, call_id=None, tool=None, arguments={},
                expires="1970-01-01T00:01:40.000Z",
            ),
            journal.StepStarted(
                key=StepKey("", "approve", "x", 0), kind="approval", approval_id=asks,
                until_ms=100_000, remaining_ms=7,
            ),
            journal.RunParked(reason="approval", remaining_ms=7),
        ],
        "r2",
        due_ms=100_000,
    )  # fmt: skip
    await store.submit(ANN, CommandId("later"), question("third"), 0)
    return disk


def index(record: UserRecord, type_: str, last: bool = False) -> int:
    found = [n for n, entry in enumerate(record.entries) if entry.type == type_]
    return found[-1 if last else 0]


def edit(record: UserRecord, at: int, change: Callable[[Entry], Entry]) -> None:
    entry = change(decode(record.entries[at]))
    record.entries[at] = encode(entry)
    # The rows stay what they were: this is damage to the log alone.


def insert(record: UserRecord, body: Any, run: str | None, thread: str | None = "t1") -> None:
    seq = record.head + 1
    record.entries.append(
        encode(
            Entry(
                Seq(seq), seq * 1000, None if thread is None else ThreadId(thread),
                None if run is None else RunId(run), body,
            )
        )
    )  # fmt: skip


# -- damage, by the invariant that it breaks -------------------------------------------------------


def _entry_lost(record: UserRecord) -> None:
    del record.entries[3]


def _entry_twice(record: UserRecord) -> None:
    record.entries.insert(3, record.entries[3])


def _entries_swapped(record: UserRecord) -> None:
    record.entries[3], record.entries[4] = record.entries[4], record.entries[3]


def _seq_rewritten(record: UserRecord) -> None:
    edit(record, 5, lambda entry: msgspec.structs.replace(entry, seq=Seq(77)))
    record.entries[5] = msgspec.structs.replace(record.entries[5], seq=6)


def _bytes_damaged(record: UserRecord) -> None:
    at = index(record, "agent_output")
    record.entries[at] = msgspec.structs.replace(record.entries[at], json=b'{"seq": 4, "ty')


def _unknown_type(record: UserRecord) -> None:
    at = index(record, "agent_output")
    json = record.entries[at].json.replace(b"agent_output", b"agent_speech")
    record.entries[at] = msgspec.structs.replace(record.entries[at], json=json)


def _journal_shown(record: UserRecord) -> None:
    at = index(record, "step_completed")
    record.entries[at] = msgspec.structs.replace(record.entries[at], internal=False)


def _event_kept_from_its_reader(record: UserRecord) -> None:
    at = index(record, "agent_output")
    record.entries[at] = msgspec.structs.replace(record.entries[at], internal=True)


def _kept_under_another_type(record: UserRecord) -> None:
    at = index(record, "agent_output")
    record.entries[at] = msgspec.structs.replace(record.entries[at], type="agent_thinking")


def _starts_twice(record: UserRecord) -> None:
    insert(record, decode(record.entries[index(record, "agent_started", last=True)]).body, "r2")


def _answer_altered(record: UserRecord) -> None:
    at = index(record, "agent_output")
    edit(record, at, lambda entry: msgspec.structs.replace(entry, body=piece("another")))


def _tool_ends_twice(record: UserRecord) -> None:
    at = index(record, "agent_output")
    again = decode(record.entries[index(record, "tool_completed")]).body
    edit(record, at, lambda entry: msgspec.structs.replace(entry, body=again))


def _writes_after_its_end(record: UserRecord) -> None:
    insert(record, piece("late"), "r1")


def _ends_twice(record: UserRecord) -> None:
    insert(record, completed("an answer"), "r1")


def _writes_after_its_end_though_it_was_pruned(record: UserRecord) -> None:
    at = index(record, "agent_output")
    record.entries[at] = msgspec.structs.replace(record.entries[at], json=b"")
    _writes_after_its_end(record)


def _settled_twice(record: UserRecord) -> None:
    body = decode(record.entries[index(record, "command_settled")]).body
    insert(record, body, "r2")


def _settled_and_waiting(record: UserRecord) -> None:
    waiting = record.inbox[CommandId("later")]
    command = msgspec.structs.replace(waiting.command, command_id=CommandId("c-r1"))
    record.inbox[CommandId("c-r1")] = InboxRow(command)


def _receipt_lost(record: UserRecord) -> None:
    del record.rows.receipts[CommandId("c-r1")]


def _receipt_of_another_run(record: UserRecord) -> None:
    command = CommandId("c-r1")
    receipt = record.rows.receipts[command]
    record.rows.receipts[command] = msgspec.structs.replace(receipt, run_id=RunId("r2"))


def _receipt_of_another_body(record: UserRecord) -> None:
    command = CommandId("c-r1")
    receipt = record.rows.receipts[command]
    record.rows.receipts[command] = msgspec.structs.replace(receipt, body_hash="00")


def _row_altered(record: UserRecord) -> None:
    run = RunId("r1")
    record.rows.runs[run] = msgspec.structs.replace(record.rows.runs[run], output="other")


def _row_lost(record: UserRecord) -> None:
    del record.rows.runs[RunId("r1")]


def _row_added(record: UserRecord) -> None:
    row = record.rows.runs[RunId("r1")]
    record.rows.runs[RunId("r7")] = msgspec.structs.replace(row, run_id=RunId("r7"))


def _thread_altered(record: UserRecord) -> None:
    thread = ThreadId("t1")
    row = record.rows.threads[thread]
    record.rows.threads[thread] = msgspec.structs.replace(row, title="other")


def _thread_lost(record: UserRecord) -> None:
    del record.rows.threads[ThreadId("t1")]


def _thread_added(record: UserRecord) -> None:
    row = record.rows.threads[ThreadId("t1")]
    other = msgspec.structs.replace(row, thread_id=ThreadId("t7"))
    record.rows.threads[ThreadId("t7")] = other


def _approval_lost(record: UserRecord) -> None:
    record.rows.approvals.clear()


def _timer_forgotten(record: UserRecord) -> None:
    run = RunId("r2")
    row = msgspec.structs.replace(record.rows.runs[run], due_ms=None, timers=())
    record.rows.runs[run] = row


def _marks_changed_places(record: UserRecord) -> None:
    (first, one), (second, other) = record.marks
    record.marks[:] = [(first, one), (second, other), (second + 3, Mark("m3")), (second + 5, one)]


def _due_forgotten(record: UserRecord) -> None:
    record.due_ms = None
    record.inbox.clear()


def _due_too_late(record: UserRecord) -> None:
    record.due_ms = 200_000
    record.inbox.clear()


DAMAGE: dict[str, list[Callable[[UserRecord], None]]] = {
    "seqs have no gaps and no repeats": [_entry_lost, _entry_twice, _entries_swapped],
    "an entry knows its seq": [_seq_rewritten],
    "entries can be read": [_bytes_damaged, _unknown_type],
    "the journal is internal": [
        _journal_shown, _event_kept_from_its_reader, _kept_under_another_type,
    ],
    "the grammar of runs": [_starts_twice, _answer_altered, _tool_ends_twice],
    "nothing of a run follows its end": [
        _writes_after_its_end, _ends_twice, _writes_after_its_end_though_it_was_pruned,
    ],
    "a command is settled once": [_settled_twice],
    "a settled command waits no more": [_settled_and_waiting],
    "a settled command has its receipt": [
        _receipt_lost, _receipt_of_another_run, _receipt_of_another_body,
    ],
    "projections": [
        _row_altered, _row_lost, _row_added, _thread_altered, _thread_lost, _thread_added,
        _approval_lost, _timer_forgotten,
    ],
    "marks are in order": [_marks_changed_places],
    "demand is durable": [_due_forgotten, _due_too_late],
}  # fmt: skip


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [(invariant, damage) for invariant, some in DAMAGE.items() for damage in some],
    ids=lambda one: getattr(one, "__name__", None) or one.replace(" ", "_"),
)
async def test_damage_is_named(invariant: str, damage: Callable[[UserRecord], None]) -> None:
    disk = await a_disk()
    store = SmallBatches(disk)
    assert await verify(store) == []
    damage(disk.users[ANN])
    assert invariant in {breach.invariant for breach in await verify(store)}


class SmallBatches(MemoryStore):
    """Reads three entries at once, so that a log of a test has many batches."""

    async def read(self, user: Any, position: Any, limit: int = 3, max_bytes: int = 1 << 20) -> Any:
        return await super().read(user, position, min(limit, 3), max_bytes)


class LosesAnEvent(MemoryStore):
    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        batch = await super().read(*args, **kwargs)
        return msgspec.structs.replace(batch, events=batch.events[1:])


class CountsTheLostAsHidden(MemoryStore):
    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        batch = await super().read(*args, **kwargs)
        events_ = batch.events[:-1]
        return msgspec.structs.replace(
            batch, events=events_, hidden=batch.to - batch.from_ - len(events_)
        )


class SwapsEvents(MemoryStore):
    async def read(self, *args: Any, **kwargs: Any) -> Batch:
        batch = await super().read(*args, **kwargs)
        return msgspec.structs.replace(batch, events=batch.events[::-1])


class NobodyIsWaiting(MemoryStore):
    async def demand(self, now_ms: int, limit: int = 1000) -> list[UserId]:
        return []


class EndsEarly(MemoryStore):
    async def entries(self, user: UserId, after: Seq, limit: int = 1000) -> Any:
        version, found = await super().entries(user, after, limit)
        return version, [entry for entry in found if entry.seq < 9]


class ForgetsMarks(MemoryStore):
    async def head(self, user: UserId) -> Any:
        return (await super().head(user))._replace(mark=Mark("zz"))


@pytest.mark.parametrize(
    ("make", "invariant"),
    [
        (LosesAnEvent, "what a reader gets adds up"),
        (CountsTheLostAsHidden, "what a reader gets adds up"),
        (SwapsEvents, "what a reader gets adds up"),
        (NobodyIsWaiting, "demand is durable"),
        (EndsEarly, "seqs have no gaps and no repeats"),
        (ForgetsMarks, "positions of this log are known"),
    ],
)
async def test_a_store_that_answers_wrongly_is_named(
    make: type[MemoryStore], invariant: str
) -> None:
    disk = await a_disk()
    assert invariant in {breach.invariant for breach in await verify(make(disk))}


async def test_a_breach_tells_whose_log_and_where() -> None:
    disk = await a_disk()
    store = MemoryStore(disk)
    await (await Log.begin(store, "bob")).new_thread()
    _writes_after_its_end(disk.users[ANN])
    seq = disk.users[ANN].head
    assert await verify(store) == [
        Breach(ANN, "nothing of a run follows its end", seq, "agent_output of run r1")
    ]
    assert await verify_user(store, UserId("bob")) == []


async def test_one_fault_of_a_run_is_told_once() -> None:
    disk = await a_disk()
    at = index(disk.users[ANN], "agent_started")
    entry = decode(disk.users[ANN].entries[at])
    assert isinstance(entry.body, events.AgentStarted)
    body = msgspec.structs.replace(entry.body, agent="impostor")
    edit(disk.users[ANN], at, lambda e: msgspec.structs.replace(e, body=body))
    assert [breach.invariant for breach in await verify(MemoryStore(disk))] == [
        "the grammar of runs"
    ]


# -- what is no damage ------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    one: Any = MemoryStore() if request.param == "memory" else await open_store(tmp_path / "s.db")
    yield one
    await one.close()


async def write(store: Store, user: str, seed: int, moves: int) -> Log:
    """A random log with open runs, in appends of a few entries, over three activations."""
    random = Random(seed)
    author = Author(random)
    for _ in range(moves):
        author.move()
    log = await Log.begin(store, user, f"{user}-0")
    at = 0
    while at < len(author.log):
        size = random.randint(1, 6)
        chunk: list[EncodedEntry] = [encode(entry) for entry in author.log[at : at + size]]
        append = msgspec.structs.replace(log.make([]), entries=chunk, due_ms=0)
        await log.send(append)
        at += size
        if random.random() < 0.05:
            await log.activate(f"{user}-{at}")
    return log


@pytest.mark.parametrize("seed", range(6))
async def test_a_log_that_was_pruned_and_erased_is_whole(store: Store, seed: int) -> None:
    for user in ("ann", "bob"):
        await write(store, user, seed, 120)
    assert await verify(store) == []
    await store.prune(LATE, limit=3)
    assert await verify(store) == []
    await store.prune(LATE)
    assert await verify(store) == []
    await store.prune(LATE, everything=True, limit=2)
    assert await verify(store) == []
    await store.prune(LATE, everything=True)
    assert await verify(store) == []


@pytest.mark.parametrize("seed", range(3))
async def test_a_log_without_its_erased_thread_is_whole(store: Store, seed: int) -> None:
    log = await write(store, "ann", seed, 80)
    await log.new_thread("gone", "a title")
    await log.ask("last", "a question", "gone")
    await log.answer("last", "an answer", "gone")
    await log.append([events.ThreadDeleted()], thread="gone", erase=["gone"], due_ms=0)
    assert await verify(store) == []
    await store.compact()
    assert await verify(store) == []
    await log.append([], erase_user=True)
    assert await verify(store) == []


async def test_a_reader_beside_the_server_sees_who_is_waited_for(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "s.db")
    log = await Log.begin(store, ANN)
    await log.new_thread()
    await log.ask("r1", "first")
    reader = await open_reader(tmp_path / "s.db")
    try:
        found = await verify_user(reader, ANN)
        assert [breach.invariant for breach in found] == ["demand is durable"]
        await log.append([piece("an")], "r1", due_ms=0)
        assert await verify(reader) == []
        await store.submit(ANN, CommandId("c9"), question("more"), 0)
        assert await verify(reader) == []
    finally:
        await reader.close()
        await store.close()
