"""What hosts write is clean; tampered with at any place it is not, and the place is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from goldenpath.engine.context import RunContext
from goldenpath.engine.definitions import AgentRegistry, agent, tool
from goldenpath.engine.host import EngineHost
from goldenpath.errors import ToolFailedError
from goldenpath.model import commands
from goldenpath.model.entries import decode, encode
from goldenpath.model.ids import (
    AppendId,
    ApprovalId,
    CommandId,
    HostId,
    Mark,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.store.interface import Append
from goldenpath.store.sqlite import open_store
from goldenpath.store.verify import Breach, verify, verify_user
from goldenpath.testing.memory_disk import Disk, UserRecord
from goldenpath.testing.memory_store import MemoryStore
from tests.engine.kit import USER, bench, kill

pytestmark = pytest.mark.anyio

BOB = UserId("bob")
GAP = "seqs have no gaps and no repeats"
GRAMMAR = {"the grammar of runs", "nothing of a run follows its end"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@tool(idempotent=True)
async def look(query: str) -> str:
    return query.upper()


@tool
async def breaks() -> str:
    raise ValueError("no")


@tool(approval=True)
async def mail(to: str) -> str:
    return f"sent to {to}"


@agent("helper", tools=[look])
async def helper(run: RunContext, message: str) -> str:
    return str(await run.call(look, query=message))


@agent("worker", tools=[look, breaks, mail])
async def worker(run: RunContext, message: str) -> None:
    await run.think("looking")
    found = await run.call(look, query=message)
    await run.write(f"Found {found}. ")
    if message == "fail":
        raise ValueError("what the agent raised")
    if message == "tools":
        try:
            await run.call(breaks)
        except ToolFailedError as error:
            await run.write(f"{error.status}. ")
        await run.write(await run.agent("helper", "below"))
    if message == "approve":
        await run.write(await run.call(mail, to="bob"))


@pytest.fixture
async def disk() -> Disk:
    """The disk of a host that did all kinds of things, was killed, and came back."""
    disk = Disk()
    async with bench([worker, helper], disk) as first:
        for text in ("one", "tools", "fail"):
            await first.ask(text, agent="worker")
        asked = await first.send("approve", agent="worker")
        request = await first.until("approval_requested", asked.receipt.run_id)
        decide = commands.Decide(
            approval_id=ApprovalId(request["approval_id"]), decision="approve", reason=None
        )
        await first.submit(decide)
        await first.until("agent_completed", asked.receipt.run_id)
        waits = await first.send("approve", agent="worker")
        await first.until("approval_requested", waits.receipt.run_id)
        await first.host.submit(BOB, CommandId("b"), commands.CreateThread(title="bob's"))
        await kill(first)
    async with bench([worker, helper], disk) as second:
        await second.ask("two", agent="worker")
    assert await verify(MemoryStore(disk)) == []
    return disk


def ada(disk: Disk) -> UserRecord:
    return disk.users[USER]


def find(disk: Disk, type_: str) -> int:
    """Index of the first entry of a type."""
    return next(i for i, e in enumerate(disk.log(USER)) if e.type == type_)


def rewrite(disk: Disk, index: int, **changes: object) -> None:
    """Change fields of an entry's body."""
    entry = decode(disk.log(USER)[index])
    disk.log(USER)[index] = encode(replace(entry, body=replace(entry.body, **changes)))


def renumber(disk: Disk) -> None:
    """Give the entries the seqs of their places, so that nothing but their order is wrong."""
    log = disk.log(USER)
    for index, encoded in enumerate(log):
        log[index] = encode(replace(decode(encoded), seq=Seq(index + 1)))


async def found(disk: Disk) -> list[Breach]:
    """What is wrong: always of the one user that was tampered with."""
    breaches = await verify(MemoryStore(disk))
    assert {one.user for one in breaches} == {USER}
    return breaches


def kinds(breaches: list[Breach]) -> set[str]:
    return {one.invariant for one in breaches}


async def test_the_log_of_a_host_is_clean_and_has_everything_in_it(disk: Disk) -> None:
    types = {entry.type for entry in disk.log(USER)}
    assert {
        "thread_created", "message_received", "run_opened", "command_settled", "agent_started",
        "agent_thinking", "tool_executing", "step_started", "step_completed", "tool_completed",
        "agent_output", "approval_requested", "approval_resolved", "run_parked", "run_failure",
        "agent_resumed", "agent_completed",
    } <= types  # fmt: skip
    assert len(disk.open_runs(USER)) == 1


async def test_an_empty_store_is_clean() -> None:
    assert await verify(MemoryStore()) == []


async def test_what_was_pruned_and_erased_is_no_corruption(disk: Disk) -> None:
    store = MemoryStore(disk)
    for everything in (False, True):
        for limit in (2, 100):
            await store.prune(1 << 50, everything=everything, limit=limit)
            assert await verify(store) == []
    async with bench([worker, helper], disk) as more:
        thread = (await more.host.store.threads(USER, 1, None))[0].thread_id
        await more.submit(commands.DeleteThread(thread_id=thread))
        await more.ask("after", agent="worker")
    assert await verify(MemoryStore(disk)) == []


async def test_a_file_of_a_host_is_clean(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "s.db", durability="process")
    host = EngineHost(store, AgentRegistry([worker, helper]))
    send = commands.Send(text="tools", agent="worker")
    async with host.running():
        receipt = (await host.submit(USER, CommandId("c"), send)).receipt
        assert receipt.run_id is not None
        watch = store.watch(USER)
        async with asyncio.timeout(20):
            while (row := await store.run(USER, receipt.run_id)) is None or row.open:
                await watch.wait()
        watch.close()
        assert await verify(store) == []
    await store.compact()
    assert await verify(store) == []
    await store.close()
    store = await open_store(tmp_path / "s.db", durability="process")
    assert await verify(store) == []
    await store.close()


async def test_a_gap_is_named_with_its_place(disk: Disk) -> None:
    del disk.log(USER)[5]
    (gap,) = [one for one in await found(disk) if one.invariant == GAP]
    assert (gap.seq, gap.message) == (7, "follows 5")


async def test_any_entry_that_is_lost_is_missed(disk: Disk) -> None:
    whole = list(disk.log(USER))
    for index in range(len(whole) - 1):
        ada(disk).entries = whole[:index] + whole[index + 1 :]
        assert GAP in kinds(await found(disk)), whole[index]


async def test_an_entry_that_is_there_twice_is_named(disk: Disk) -> None:
    disk.log(USER).insert(5, disk.log(USER)[4])
    assert (GAP, 5) in {(one.invariant, one.seq) for one in await found(disk)}


@pytest.mark.parametrize("json", [b"{", b"{}", b"null", b"\xff"])
async def test_an_entry_that_cannot_be_read_is_named(disk: Disk, json: bytes) -> None:
    index = find(disk, "agent_thinking")
    disk.log(USER)[index] = replace(disk.log(USER)[index], json=json)
    unread = [one.seq for one in await found(disk) if one.invariant == "entries can be read"]
    assert unread == [index + 1]


@pytest.mark.parametrize(
    "type_", ["agent_started", "agent_completed", "tool_executing", "tool_completed", "run_opened"]
)
async def test_an_entry_too_many_breaks_the_grammar(disk: Disk, type_: str) -> None:
    index = find(disk, type_)
    disk.log(USER).insert(index + 1, disk.log(USER)[index])
    renumber(disk)
    assert GRAMMAR & kinds(await found(disk))


@pytest.mark.parametrize("type_", ["run_opened", "agent_started", "tool_executing"])
async def test_an_entry_too_few_breaks_the_grammar(disk: Disk, type_: str) -> None:
    del disk.log(USER)[find(disk, type_)]
    renumber(disk)
    assert GRAMMAR & kinds(await found(disk))


@pytest.mark.parametrize(
    ("type_", "change"),
    [("agent_completed", {"output": "something else"}), ("agent_output", {"offset": 77})],
)
async def test_a_changed_entry_breaks_the_grammar(
    disk: Disk, type_: str, change: dict[str, object]
) -> None:
    index = find(disk, type_)
    rewrite(disk, index, **change)
    named = {one.seq for one in await found(disk) if one.invariant in GRAMMAR}
    assert named == {index + 1}


async def test_entries_in_another_order_break_the_grammar(disk: Disk) -> None:
    log = disk.log(USER)
    first, second = find(disk, "tool_executing"), find(disk, "tool_completed")
    log[first], log[second] = log[second], log[first]
    renumber(disk)
    assert GRAMMAR & kinds(await found(disk))


@pytest.mark.parametrize(
    "change",
    [{"output": "other"}, {"status": "failed"}, {"text": "other"}, {"attempts": 9},
     {"ended_ms": 1}, {"remaining_ms": 12345}, {"usage": {"tokens": 1}}, {"version": "0"}],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
async def test_a_run_that_differs_is_named(disk: Disk, change: dict[str, object]) -> None:
    runs = ada(disk).rows.runs
    run_id = next(iter(runs))
    runs[run_id] = replace(runs[run_id], **change)
    first_seq = runs[run_id].first_seq
    assert await found(disk) == [Breach(USER, "projections", first_seq, f"run {run_id} differs")]


async def test_a_question_that_was_changed_in_the_log_is_named(disk: Disk) -> None:
    index = find(disk, "message_received")
    rewrite(disk, index, text="never asked")
    assert [(one.invariant, one.seq) for one in await found(disk)] == [("projections", index + 1)]


async def test_rows_that_are_missing_or_extra_are_named(disk: Disk) -> None:
    rows = ada(disk).rows
    thread, run = next(iter(rows.threads)), next(iter(rows.runs))
    approval = next(iter(rows.approvals))
    gone = rows.threads.pop(thread)
    rows.threads[ThreadId("extra")] = replace(gone, thread_id=ThreadId("extra"))
    rows.runs[RunId("extra")] = replace(rows.runs.pop(run), run_id=RunId("extra"))
    del rows.approvals[approval]
    assert {one.message for one in await found(disk)} == {
        f"thread {thread} differs", "thread extra is extra", f"run {run} differs",
        "run extra is extra", f"approval {approval} differs",
    }  # fmt: skip


async def test_any_receipt_that_is_missing_is_named(disk: Disk) -> None:
    receipts = ada(disk).rows.receipts
    for command_id, receipt in list(receipts.items()):
        del receipts[command_id]
        missing = Breach(USER, "a settled command has its receipt", receipt.seq, command_id)
        assert await found(disk) == [missing]
        receipts[command_id] = receipt


async def test_every_user_is_looked_at_also_those_of_the_next_page(disk: Disk) -> None:
    store = MemoryStore()
    entry = decode(disk.log(BOB)[0])
    for number in range(1001):
        user = UserId(f"user{number:04}")
        activation = await store.acquire(user, HostId("h"), Mark("m"))
        await store.append(
            Append(
                user=user, epoch=activation.epoch, mark=Mark("m"), head=Seq(0),
                append_id=AppendId("a"), entries=[encode(entry)], now_ms=0,
            )
        )  # fmt: skip
    assert await verify(store) == []
    for one in ("user0000", "user1000"):
        store.disk.users[UserId(one)].rows.threads.clear()
    assert [breach.user for breach in await verify(store)] == ["user0000", "user1000"]
    assert await verify_user(store, UserId("user0500")) == []
