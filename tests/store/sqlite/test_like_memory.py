"""The SQLite store answers like the store in memory, whatever is settled, evicted or reopened."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from goldenpath.errors import GoldenpathError
from goldenpath.model import events, journal
from goldenpath.model.ids import (
    ApprovalId,
    CallId,
    CommandId,
    DeviceId,
    Mark,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.store.interface import Position, Store
from goldenpath.store.sqlite import SqliteStore, open_reader, open_store, settler
from goldenpath.store.sqlite.reads import Reads
from goldenpath.store.words import words_of
from goldenpath.testing.memory_store import MemoryStore
from tests.store.sqlite.logs import Log, completed, piece, question

pytestmark = pytest.mark.anyio

USERS = ["ann", "bob", "cleo"]


class Pair:
    """The same operations on both stores."""

    def __init__(self, path: Path, store: SqliteStore, seed: int) -> None:
        self.path = path
        self.store = store
        self.memory = MemoryStore()
        self.random = random.Random(seed)
        self.logs: dict[str, tuple[Log, Log]] = {}
        self.open: dict[str, list[tuple[str, str]]] = {user: [] for user in USERS}
        self.threads: dict[str, list[str]] = {user: [] for user in USERS}
        self.deleted: set[str] = set()
        self.count = 0
        self.history: list[str] = []

    def name(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    async def activate(self, user: str) -> None:
        mark = self.name("mark")
        if user in self.logs:
            for log in self.logs[user]:
                await log.activate(mark)
        else:
            self.logs[user] = (
                await Log.begin(self.store, user, mark),
                await Log.begin(self.memory, user, mark),
            )

    async def step(self) -> None:
        user = self.random.choice(USERS)
        if user not in self.logs:
            await self.activate(user)
        choice = self.random.choice(
            ["ask"] * 4 + ["write"] * 6 + ["end"] * 3 + ["thread", "tool", "tool", "approve"]
            + ["activate", "settle", "reopen", "ack", "fetch", "submit", "refuse", "rename", "delete"]
            + ["prune", "retain", "wait", "park", "park", "claim", "claim", "notified"]
        )  # fmt: skip
        self.history.append(f"{user}:{choice}")
        await getattr(self, f"do_{choice}")(user)

    async def both(self, user: str, bodies: object, run: str | None = None, **more: object) -> None:
        for log in self.logs[user]:
            await log.append(bodies, run, **more)  # type: ignore[arg-type]

    def thread(self, user: str) -> str | None:
        return self.random.choice(self.threads[user]) if self.threads[user] else None

    def run(self, user: str) -> tuple[str, str] | None:
        return self.random.choice(self.open[user]) if self.open[user] else None

    async def do_thread(self, user: str) -> None:
        thread = self.name("t")
        self.threads[user].append(thread)
        await self.both(user, [events.ThreadCreated(title=thread.upper())], thread=thread)

    async def do_ask(self, user: str) -> None:
        thread = self.thread(user)
        if thread is None:
            return await self.do_thread(user)
        run = self.name("r")
        self.open[user].append((run, thread))
        text = self.random.choice(["Wie groß?", "total by month", "hello"])
        for log in self.logs[user]:
            await log.ask(run, text, thread)
        return None

    async def do_write(self, user: str) -> None:
        if found := self.run(user):
            run, thread = found
            pieces = [
                piece("x" * self.random.randrange(1, 9))
                for _ in range(self.random.randrange(1, 40))
            ]
            await self.both(user, pieces, run, thread=thread, due_ms=self.random.randrange(9))

    async def do_end(self, user: str) -> None:
        if found := self.run(user):
            self.open[user].remove(found)
            await self.both(user, [completed("An answer")], found[0], thread=found[1])

    async def do_tool(self, user: str) -> None:
        if found := self.run(user):
            call = CallId(self.name("call"))
            key = journal.StepKey("", call, "", 0)
            await self.both(
                user,
                [
                    events.ToolExecuting(call_id=call, tool="sql", arguments={"q": call}),
                    journal.StepStarted(key=key, kind="tool", attempt=1, remaining_ms=self.count),
                ],
                found[0],
                thread=found[1],
            )

    async def do_approve(self, user: str) -> None:
        if found := self.run(user):
            approval = events.ApprovalRequested(
                approval_id=ApprovalId(self.name("approval")),
                call_id=None,
                tool=None,
                arguments={},
                expires="2026-01-01T00:00:00.000Z",
            )
            await self.both(user, [approval], found[0], thread=found[1])

    async def do_park(self, user: str) -> None:
        if found := self.run(user):
            bodies: list[object] = [journal.RunParked(reason="shutdown", remaining_ms=self.count)]
            if self.random.random() < 0.5:
                bodies.append(events.AgentResumed(attempt=self.count, reason="shutdown"))
            await self.both(user, bodies, found[0], thread=found[1])

    async def do_rename(self, user: str) -> None:
        if thread := self.thread(user):
            await self.both(user, [events.ThreadUpdated(title="New", archived=True)], thread=thread)

    async def do_delete(self, user: str) -> None:
        free = set(self.threads[user]) - {thread for _, thread in self.open[user]}
        if free:
            thread = min(free)
            self.threads[user].remove(thread)
            self.deleted.add(thread)
            await self.both(user, [events.ThreadDeleted()], thread=thread, erase=[thread])

    async def do_submit(self, user: str) -> None:
        command_id = CommandId(self.name("waiting"))
        for store in (self.store, self.memory):
            await store.submit(UserId(user), command_id, question("later"), 5)

    async def do_refuse(self, user: str) -> None:
        from goldenpath.model.events import RunError
        from goldenpath.store.interface import Refusal

        pending = await self.memory.pending(UserId(user))
        refused = [
            Refusal(command.command_id, RunError(code="busy", message="busy"))
            for command in pending[:2]
        ]
        await self.both(user, [], refused=refused)

    async def do_wait(self, user: str) -> None:
        await self.both(user, [], due_ms=self.random.randrange(20))

    async def do_activate(self, user: str) -> None:
        await self.activate(user)

    async def do_ack(self, user: str) -> None:
        store, memory = self.logs[user]
        device = DeviceId(self.random.choice(["phone", "tablet"]))
        for log in (store, memory):
            position = await log.store.head(log.user)
            await log.store.acknowledge(log.user, device, position)

    async def do_fetch(self, user: str) -> None:
        runs = [row.run_id for _, row in await self.memory.runs(UserId(user), None, 20)]
        chosen = [*self.random.sample(runs, len(runs) // 2), RunId("unknown")]
        for store in (self.store, self.memory):
            await store.fetched(UserId(user), chosen)

    async def do_claim(self, user: str) -> None:
        now = self.random.randrange(1, 200_000)
        after, before = self.random.randrange(50_000), self.random.randrange(200_000)
        found = []
        for store in (self.store, self.memory):
            claim = await store.claim_notices(now, ended_after_ms=after, ended_before_ms=before)
            notices = sorted(claim.notices, key=lambda one: (one.user, one.run_id))
            found.append((claim.given_up, notices))
        assert found[0] == found[1], self.history

    async def do_notified(self, user: str) -> None:
        for _, row in (await self.memory.runs(UserId(user), None, 20))[:3]:
            for store in (self.store, self.memory):
                await store.notified(UserId(user), row.run_id)

    async def do_settle(self, user: str) -> None:
        await self.store.compact()

    async def do_prune(self, user: str) -> None:
        await self.prune(everything=False)

    async def do_retain(self, user: str) -> None:
        await self.prune(everything=True)

    async def prune(self, *, everything: bool) -> None:
        before = self.random.randrange(200) * 1000
        for store in (self.store, self.memory):
            await store.prune(before, everything=everything, limit=1000)

    async def do_reopen(self, user: str) -> None:
        await self.store.close()
        self.store = await open_store(self.path)
        for record in self.memory.disk.users.values():
            record.holder = None
        for store_log, _ in self.logs.values():
            store_log.store = self.store

    async def compare(self, user: str, other: Store | Reads) -> None:
        memory, who = self.memory, UserId(user)
        head = await memory.head(who)
        assert await other.head(who) == head, self.history
        for cursor, mark in [(0, "0"), (head.cursor // 2, head.mark), (head.cursor, head.mark)]:
            position = Position(Mark(mark), Seq(cursor))
            expected = await outcome(memory.read(who, position, 30))
            found = await outcome(other.read(who, position, 30))
            assert found == expected, (cursor, self.history)
        assert await other.threads(who, 3, None) == await memory.threads(who, 3, None)
        for thread in [*self.threads[user], "unknown"]:
            thread_id = ThreadId(thread)
            assert await other.thread(who, thread_id) == await memory.thread(who, thread_id)
            assert ordered(await other.history(who, thread_id, 5, None)) == ordered(
                await memory.history(who, thread_id, 5, None)
            ), self.history
        for number in range(self.count + 1):
            run = RunId(f"r{number}")
            if (expected_run := memory.disk.user(who).rows.runs.get(run)) is not None:
                assert await other.run(who, run) == expected_run, self.history
        for status in (None, "running", "resuming"):
            assert await other.runs(who, status, 7) == await memory.runs(who, status, 7)
        assert await other.pending(who) == await memory.pending(who)
        for command_id in memory.disk.user(who).inbox:
            assert await other.outcome(who, command_id) == await memory.outcome(who, command_id)
        for command_id, receipt in memory.disk.user(who).rows.receipts.items():
            found = await other.outcome(who, command_id)
            assert found == receipt, (found, self.history)
        for approval in memory.disk.user(who).rows.approvals.values():
            assert await other.approval(who, approval.approval_id) == approval
        words = words_of("groß")
        assert await other.search(who, words, 5) == await memory.search(who, words, 5)

    async def compare_all(self, other: Store | Reads) -> None:
        for user in USERS:
            await self.compare(user, other)
        assert await other.users() == await self.memory.users()
        assert await other.runs(None, None, 9) == await self.memory.runs(None, None, 9)
        found = {(a.user, a.run.run_id) for a in await other.undelivered()}
        expected = {(a.user, a.run.run_id) for a in await self.memory.undelivered()}
        assert found == expected, self.history


async def outcome(reading: object) -> object:
    try:
        return await reading  # type: ignore[misc]
    except GoldenpathError as error:
        return type(error)


def ordered(history: object) -> object:
    if history is None:
        return None
    return (
        history.runs,  # type: ignore[attr-defined]
        sorted(history.open_runs, key=lambda open_run: open_run.run.first_seq),  # type: ignore[attr-defined]
        history.as_of,  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize("seed", range(12))
async def test_the_same_operations_give_the_same_answers(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, reads and lists are those of the pure fold, at every moment."""
    if seed % 2:  # settles all the time
        monkeypatch.setattr(settler, "TAIL_ENTRIES", 10)
    path = tmp_path / "store.db"
    pair = Pair(path, await open_store(path, durability="process"), seed)
    try:
        for number in range(120):
            await pair.step()
            if number % 10 == 9:
                await pair.compare_all(pair.store)
            if number % 40 == 39:
                reader = await open_reader(path)
                try:
                    await pair.compare_all(reader)
                finally:
                    await reader.close()
        for user in USERS:
            for now in (0, 10, 100):
                assert set(await pair.store.demand(now)) == set(await pair.memory.demand(now)), user
        assert await pair.store.next_due() == await pair.memory.next_due()
    finally:
        await pair.store.close()
