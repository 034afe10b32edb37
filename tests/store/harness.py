"""What the checks of the conformance suite have in common: a site, an engine's writing, texts."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Protocol

from goldenpath.model import events, journal
from goldenpath.model.commands import Send, body_hash, encode_command
from goldenpath.model.entries import Body, Entry, encode, format_time
from goldenpath.model.events import RunError
from goldenpath.model.ids import (
    ORIGIN_MARK,
    AppendId,
    ApprovalId,
    CallId,
    CommandId,
    DeviceId,
    HostId,
    Mark,
    MessageId,
    PartId,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.model.journal import StepKey
from goldenpath.store.interface import Activation, Append, Batch, Position, Store

ADA, BOB = UserId("ada"), UserId("bob")
HOST, OTHER = HostId("host"), HostId("other")
START = Position(ORIGIN_MARK, Seq(0))
PHONE = DeviceId("phone")
NOW = 1_700_000_000_000
HOUR = 3_600_000
BUSY = RunError(code="busy", message="busy", retryable=True)
SECRET = "marzipan"


class Site(Protocol):
    """Where a store under test lives."""

    async def open(self) -> Store:
        """Open it, as a process that starts: the one before it is dead."""
        ...

    async def restored(self, copy: Path) -> Store:
        """Open what `backup` copied."""
        ...

    def path(self) -> Path:
        """Where a backup may be written."""
        ...

    async def fill_disk(self, store: Store, full: bool) -> None:
        """Let the store's writes fail, or work again."""
        ...

    def traces(self, text: str) -> bool:
        """True if the store's files still hold the text."""
        ...


Check = Callable[[Site], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def clause(check: Check) -> Check:
    """Register a check; its name begins with its clause."""
    CHECKS[check.__name__] = check
    return check


class Engine:
    """What an engine does to a store, without an engine."""

    def __init__(self, store: Store, user: UserId, activation: Activation) -> None:
        self.store, self.user, self.activation = store, user, activation
        self.head = int(activation.head)
        self.count = 0

    @classmethod
    async def begin(cls, store: Store, user: UserId = ADA, mark: str = "m1") -> Engine:
        return cls(store, user, await store.acquire(user, HOST, Mark(mark)))

    def append(self, *bodies: tuple[str | None, str | None, Body], **options: Any) -> Append:
        entries = [
            encode(
                Entry(
                    Seq(self.head + n), NOW + self.head + n,
                    None if thread is None else ThreadId(thread),
                    None if run is None else RunId(run), body,
                )
            )
            for n, (thread, run, body) in enumerate(bodies, 1)
        ]  # fmt: skip
        self.count += 1
        fields: dict[str, Any] = {
            "user": self.user,
            "epoch": self.activation.epoch,
            "mark": self.activation.mark,
            "head": Seq(self.head),
            "append_id": AppendId(f"{self.activation.mark}.{self.count}"),
            "entries": entries,
            "now_ms": NOW,
            **options,
        }
        return Append(**fields)

    async def write(self, *bodies: tuple[str | None, str | None, Body], **options: Any) -> Append:
        append = self.append(*bodies, **options)
        await self.store.append(append)
        self.head += len(append.entries)
        return append

    async def ask(self, run: str, thread: str = "t", text: str = "hello", **options: Any) -> None:
        """Open and start a run."""
        await self.write(*opening(run, thread, text), **options)

    async def end(self, run: str, thread: str = "t", output: str = "answer") -> None:
        await self.write(
            (thread, run, events.AgentOutput(part_id=PartId("p"), offset=0, text=output)),
            (thread, run, completed(output)),
        )

    async def whole(self, run: str, thread: str = "t", text: str = "hello") -> None:
        await self.ask(run, thread, text)
        await self.end(run, thread)


def created(thread: str = "t", title: str = "title") -> tuple[str, None, Body]:
    return (thread, None, events.ThreadCreated(title=title))


def opening(run: str, thread: str, text: str) -> list[tuple[str, str, Body]]:
    return [
        (thread, run, events.MessageReceived(
            message_id=MessageId(f"m-{run}"), text=text, command_id=CommandId(f"c-{run}"))),
        (thread, run, journal.RunOpened(agent="worker", budget_ms=1000)),
        (thread, run, settled(f"c-{run}", run=run, thread=thread)),
        (thread, run, events.AgentStarted(
            agent="worker", version="1", message_id=MessageId(f"m-{run}"), deadline_ms=1000)),
    ]  # fmt: skip


def settled(command: str, run: str | None = None, thread: str | None = None) -> Body:
    return journal.CommandSettled(
        command_id=CommandId(command),
        body_hash=body_hash(BODY),
        kind="send",
        run_id=None if run is None else RunId(run),
        thread_id=None if thread is None else ThreadId(thread),
        seq=1,
    )


def completed(output: str = "answer") -> Body:
    return events.AgentCompleted(
        status="succeeded", output=output, partial=False, error=None, usage={}, duration_ms=1
    )


BODY = encode_command(Send(text="hello"))
ELSE = encode_command(Send(text="something else"))


async def raises(error: type[Exception], work: Awaitable[Any]) -> Exception:
    try:
        await work
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} was not raised")


async def read_all(store: Store, user: UserId = ADA, position: Position = START) -> list[Batch]:
    batches: list[Batch] = []
    while True:
        batch = await store.read(user, position, 3)
        assert batch.from_ == position.cursor
        assert batch.to - batch.from_ == len(batch.events) + batch.hidden
        if batch.to == batch.from_:
            return batches
        batches.append(batch)
        position = Position(batch.mark, batch.to)


async def seen(store: Store, user: UserId = ADA) -> list[dict[str, Any]]:
    return [json.loads(e) for batch in await read_all(store, user) for e in batch.events]


async def submit(store: Store, command: str, body: bytes = BODY, user: UserId = ADA) -> Any:
    return await store.submit(user, CommandId(command), body, NOW)


KEY = StepKey("", "step", "", 0)
LATER = NOW + 10**6
TABLET = DeviceId("tablet")


def piece(text: str, offset: int = 0) -> Body:
    return events.AgentOutput(part_id=PartId("p"), offset=offset, text=text)


def child(run: str, parent: str, text: str = "do it") -> list[tuple[str, str, Body]]:
    """Open and start a run below another one."""
    return [
        ("t", run, journal.RunOpened(
            agent="helper", budget_ms=1000, depth=1, input=text, parent_run_id=RunId(parent))),
        ("t", run, events.AgentStarted(
            agent="helper", version="1", message_id=None, parent_run_id=RunId(parent),
            deadline_ms=1000)),
    ]  # fmt: skip


def work(run: str, text: str) -> list[tuple[str, str, Body]]:
    """Everything that a run may hold of somebody's text, once."""
    call, approval = CallId(f"call-{run}"), ApprovalId(f"ap-{run}")
    return [
        ("t", run, events.AgentThinking(text=text)),
        ("t", run, events.ToolExecuting(call_id=call, tool="look", arguments={"q": text})),
        ("t", run, journal.StepStarted(
            key=StepKey(text, text, "", 0), kind="tool", call_id=call, attempt=1, remaining_ms=9)),
        ("t", run, events.ToolProgress(call_id=call, text=text)),
        ("t", run, events.ApprovalRequested(
            approval_id=approval, call_id=call, tool="look", arguments={"q": text}, prompt=text,
            expires=format_time(LATER))),
        ("t", run, events.ApprovalResolved(
            approval_id=approval, decision="approved", reason=text)),
        ("t", run, journal.StepCompleted(
            key=StepKey(text, text, "", 0), value={"v": [text]}, failed_message=text, detail=text,
            remaining_ms=8)),
        ("t", run, events.ToolCompleted(
            call_id=call, tool="look", status="ok", result=[text], duration_ms=1, attempts=1)),
        ("t", run, journal.RunFailure(detail=text)),
        ("t", run, piece(text)),
    ]  # fmt: skip


def failed(text: str) -> Body:
    return events.AgentCompleted(
        status="failed", output=text, partial=True, usage={}, duration_ms=1,
        error=RunError(code="agent_error", message=text),
    )  # fmt: skip


USERS = [UserId(f"user{number}") for number in range(6)]
STOP = 30
"""Seconds after which a check that hangs is ended."""


class Follower:
    """A client that reads to the head, waits to be woken, and checks every batch."""

    def __init__(self, store: Store, user: UserId, limit: int) -> None:
        self.seqs: list[int] = []
        self.hidden = 0
        self.batches: list[list[tuple[int, str]]] = []
        self._store, self._user, self._limit = store, user, limit

    async def follow(self, until: Callable[[], int | None]) -> None:
        """Until the cursor is where `until` says, which is None as long as it is not known."""
        position, watch = START, self._store.watch(self._user)
        try:
            while position.cursor != until():
                batch = await self._store.read(self._user, position, self._limit)
                shown = [json.loads(one) for one in batch.events]
                seqs = [one["seq"] for one in shown]
                assert batch.from_ == position.cursor, "a batch begins where the last one ended"
                assert batch.to - batch.from_ == len(seqs) + batch.hidden
                assert seqs == sorted(set(seqs))
                assert all(batch.from_ < seq <= batch.to for seq in seqs)
                self.seqs += seqs
                self.hidden += batch.hidden
                self.batches.append([(one["seq"], one["type"]) for one in shown])
                position = Position(batch.mark, batch.to)
                if batch.to == batch.from_:
                    await watch.wait()
        finally:
            watch.close()
