"""A user's log as the tests write it: an activation that makes valid runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from goldenpath.model import events, journal
from goldenpath.model.commands import Send, body_hash, encode_command
from goldenpath.model.entries import Body, EncodedEntry, Entry, encode
from goldenpath.model.ids import (
    AppendId,
    CommandId,
    HostId,
    Mark,
    MessageId,
    PartId,
    RunId,
    Seq,
    ThreadId,
    UserId,
)
from goldenpath.store.interface import Append, Refusal, Store

HOST = HostId("host")


@dataclass
class Log:
    """One user's activation on a store. Times are seqs times a thousand."""

    store: Store
    user: UserId
    epoch: int = 0
    mark: Mark = Mark("0")
    head: int = 0
    appends: int = 0
    acknowledged: list[EncodedEntry] = field(default_factory=lambda: [])

    @classmethod
    async def begin(cls, store: Store, user: str, mark: str = "m1") -> Log:
        """Acquire the user's lease."""
        log = cls(store, UserId(user))
        await log.activate(mark)
        return log

    async def activate(self, mark: str) -> None:
        """Acquire the lease again."""
        found = await self.store.acquire(self.user, HOST, Mark(mark))
        self.epoch, self.mark, self.head = found.epoch, found.mark, found.head

    def entries(
        self, bodies: Sequence[Body], run: str | None = None, thread: str | None = "t1"
    ) -> list[EncodedEntry]:
        """Encode bodies as the next entries."""
        return [
            encode(
                Entry(
                    Seq(seq),
                    seq * 1000,
                    None if thread is None else ThreadId(thread),
                    None if run is None else RunId(run),
                    body,
                )
            )
            for seq, body in enumerate(bodies, self.head + 1)
        ]

    def make(
        self,
        bodies: Sequence[Body],
        run: str | None = None,
        thread: str | None = "t1",
        *,
        refused: Sequence[Refusal] = (),
        due_ms: int | None = None,
        erase: Sequence[str] = (),
        erase_user: bool = False,
    ) -> Append:
        """The next append."""
        self.appends += 1
        return Append(
            user=self.user,
            epoch=self.epoch,
            mark=self.mark,
            head=Seq(self.head),
            append_id=AppendId(f"{self.mark}-{self.appends}"),
            entries=self.entries(bodies, run, thread),
            refused=refused,
            due_ms=due_ms,
            erase_threads=[ThreadId(one) for one in erase],
            erase_user=erase_user,
            now_ms=1_000_000,
        )

    async def send(self, append: Append) -> None:
        """Append, and take over what it led to."""
        await self.store.append(append)
        self.head += len(append.entries)
        self.acknowledged += append.entries

    async def append(self, bodies: Sequence[Body], run: str | None = None, **more: object) -> None:
        """Make and send."""
        await self.send(self.make(bodies, run, **more))  # type: ignore[arg-type]

    async def new_thread(self, thread: str = "t1", title: str = "A title") -> None:
        """Create a thread."""
        await self.append([events.ThreadCreated(title=title)], thread=thread)

    async def ask(
        self, run: str, text: str, thread: str = "t1", command: str | None = None
    ) -> None:
        """Submit a question and begin its run."""
        command_id = CommandId(command or f"c-{run}")
        body = question(text)
        await self.store.submit(self.user, command_id, body, 0)
        await self.append(
            [
                events.MessageReceived(
                    message_id=MessageId(f"m-{run}"), text=text, command_id=command_id
                ),
                journal.RunOpened(agent="analyst", budget_ms=300_000),
                journal.CommandSettled(
                    command_id=command_id,
                    body_hash=body_hash(body),
                    kind="send",
                    thread_id=ThreadId(thread),
                    run_id=RunId(run),
                    seq=self.head + 1,
                ),
                events.AgentStarted(
                    agent="analyst", version="1", message_id=MessageId(f"m-{run}"),
                    deadline_ms=300_000,
                ),
            ],
            run,
            thread=thread,
        )  # fmt: skip

    async def answer(self, run: str, text: str, thread: str = "t1") -> None:
        """End a run with one piece."""
        await self.append([piece(text), completed(text)], run, thread=thread)


def question(text: str) -> bytes:
    """The body of a command that asks."""
    return encode_command(Send(text=text))


def piece(text: str, part: str = "p1") -> events.AgentOutput:
    """A piece of an answer."""
    return events.AgentOutput(part_id=PartId(part), offset=0, text=text)


def completed(text: str) -> events.AgentCompleted:
    """A good end."""
    return events.AgentCompleted(
        status="succeeded", output=text, partial=False, error=None, usage={}, duration_ms=1
    )


async def all_entries(store: Store, user: UserId) -> list[EncodedEntry]:
    """A whole log; one call gives a bounded part of it."""
    found: list[EncodedEntry] = []
    while True:
        _, more = await store.entries(user, Seq(len(found)))
        if not more:
            return found
        found += more
