"""Commands: what each does to the log. Every one is settled by the append that it leads to."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from goldenpath.engine.run import Run
from goldenpath.errors import StoreUnavailableError
from goldenpath.model import commands, events
from goldenpath.model.entries import Body
from goldenpath.model.ids import CommandId, MessageId, RunId, ThreadId
from goldenpath.model.journal import CommandSettled, RunOpened
from goldenpath.model.views import ThreadRow
from goldenpath.store.interface import PendingCommand, Refusal

if TYPE_CHECKING:
    from goldenpath.engine.user_engine import UserExecutionEngine

_TITLE = 80
_KNOWN_THREADS = 200


class Intake:
    """Takes the user's waiting commands in their order, each once."""

    def __init__(self, engine: UserExecutionEngine) -> None:
        self._engine = engine
        self._taken: set[CommandId] = set()
        self._settled: set[CommandId] = set()
        self._threads: dict[ThreadId, ThreadRow | None] = {}
        self._deleting: set[ThreadId] = set()
        self._others_settled = asyncio.Event()
        self.forgetting = False
        """True while everything is being erased: what was asked later waits for what comes then."""

    def __str__(self) -> str:
        return f"{sorted(self._taken)}"

    @property
    def idle(self) -> bool:
        """True if no command is on its way."""
        return not self._taken

    def settled(self, command_id: CommandId) -> None:
        """The end of a command has become durable."""
        self._taken.discard(command_id)
        self._settled.add(command_id)
        self._others_settled.set()

    async def take(self) -> bool:
        """Take every command that waits and is not taken yet; False if the store did not say."""
        # What is settled while the store reads may still be in what it gives: skip it. If such a
        # command was refused and sent again meanwhile, its submission has woken the engine.
        self._settled.clear()
        try:
            pending = await self._engine.store.pending(self._engine.user)
        except StoreUnavailableError:
            return False
        for command in pending:
            if self.forgetting:
                break
            if command.command_id not in self._taken and command.command_id not in self._settled:
                self._taken.add(command.command_id)
                await self._handle(command)
        return True

    async def _handle(self, pending: PendingCommand) -> None:
        command = commands.decode_command(pending.body)
        match command:
            case commands.Send():
                await self._send(pending, command)
            case commands.Cancel():
                await self._cancel(pending, command)
            case commands.Decide():
                await self._decide(pending, command)
            case commands.CreateThread():
                self._create_thread(pending, command)
            case commands.UpdateThread():
                await self._update_thread(pending, command)
            case commands.DeleteThread():
                await self._delete_thread(pending, command)
            case commands.Forget():
                self.forgetting = True
                self._engine.spawn(self._erase_user(pending))

    # -- outcomes ----------------------------------------------------------------------------

    def _accept(self, pending: PendingCommand, kind: Any, **ids: Any) -> CommandSettled:
        ids.setdefault("seq", self._engine.outbox.head + 1)
        return CommandSettled(
            command_id=pending.command_id, body_hash=pending.body_hash, kind=kind, **ids
        )

    def _reject(self, pending: PendingCommand, kind: Any, code: str, message: str) -> None:
        error = events.RunError(code=code, message=message, retryable=False)
        settled = CommandSettled(
            command_id=pending.command_id, body_hash=pending.body_hash, kind=kind, error=error
        )
        self._add((None, None, settled))

    def _refuse(self, pending: PendingCommand, code: str, message: str) -> None:
        error = events.RunError(code=code, message=message, retryable=True)
        self._engine.outbox.refuse(Refusal(pending.command_id, error))

    def _add(self, *items: tuple[ThreadId | None, RunId | None, Body]) -> None:
        self._engine.outbox.add(items)

    async def _thread(self, thread_id: ThreadId) -> ThreadRow | None:
        if thread_id in self._deleting:
            return None
        if thread_id not in self._threads:
            engine = self._engine
            row = await engine.patiently(lambda: engine.store.thread(engine.user, thread_id))
            self._know(thread_id, row)
        return self._threads.get(thread_id)

    def _know(self, thread_id: ThreadId, row: ThreadRow | None) -> None:
        if row is None:
            return
        self._threads[thread_id] = row
        while len(self._threads) > _KNOWN_THREADS:
            self._threads.pop(next(iter(self._threads)))

    # -- send --------------------------------------------------------------------------------

    async def _send(self, pending: PendingCommand, send: commands.Send) -> None:
        engine = self._engine
        thread = None
        if send.thread_id is not None:
            thread = await self._thread(send.thread_id)
            if thread is None:
                self._reject(pending, "send", "not_found", "There is no such thread.")
                return
        name = send.agent or (thread.agent if thread is not None else None)
        agent = engine.agents.default if name is None else engine.agents.get(name)
        if agent is None:
            self._reject(pending, "send", "unknown_agent", f"There is no agent {name!r}.")
            return
        active = [r for r in engine.runs.values() if r.root and r.thread_id == send.thread_id]
        if active and send.when_busy == "reject":
            self._refuse(pending, "busy", "This thread is still working on something.")
            return
        if engine.waiting >= engine.limits.runs_waiting:
            self._refuse(pending, "queue_full", "Too many messages are waiting already.")
            return
        now = engine.clock.now_ms()
        created: list[tuple[ThreadId | None, RunId | None, Body]] = []
        first = engine.outbox.head + 1
        if thread is None:
            thread_id = ThreadId(engine.ids.new())
            title = " ".join(send.text.split())[:_TITLE] or None
            created.append((thread_id, None, events.ThreadCreated(title=title)))
            engine.histories.begin(thread_id)
            thread = ThreadRow(
                thread_id=thread_id,
                title=title,
                archived=False,
                agent=agent.name,
                created_ms=now,
                created_seq=first,
            )
        ahead = send.when_busy == "interrupt"
        run = Run(
            run_id=RunId(engine.ids.new()),
            thread_id=thread.thread_id,
            message_id=MessageId(engine.ids.new()),
            parent_run_id=None,
            agent=agent.name,
            version=agent.version,
            text=send.text,
            remaining_ms=int((agent.deadline or engine.limits.run_seconds) * 1000),
            depth=0,
            ahead=ahead,
            first_seq=first + len(created),
        )
        self._know(
            thread.thread_id,
            ThreadRow(
                thread_id=thread.thread_id,
                title=thread.title,
                archived=thread.archived,
                agent=agent.name,
                created_ms=thread.created_ms,
                created_seq=thread.created_seq,
            ),
        )
        engine.runs[run.run_id] = run
        why = engine.admit(run)
        begin: Body
        if why is None:
            begin = engine.started_event(run)
        else:
            reason: Literal["user_limit", "thread_busy", "host_limit"] = why  # pyright: ignore
            begin = events.RunQueued(reason=reason, position=engine.waiting)
            engine.observer.run_queued(engine.waiting)
        assert run.message_id is not None
        opening: list[Body] = [
            events.MessageReceived(
                message_id=run.message_id,
                text=send.text,
                attachments=send.attachments,
                command_id=pending.command_id,
            ),
            RunOpened(agent=run.agent, budget_ms=run.remaining_ms, ahead=ahead),
            self._accept(
                pending,
                "send",
                thread_id=run.thread_id,
                message_id=run.message_id,
                run_id=run.run_id,
                seq=first,
            ),
            begin,
        ]
        entries = engine.outbox.add(
            [*created, *((run.thread_id, run.run_id, body) for body in opening)]
        )
        run.fold(entries[len(created) :])
        if why is None:
            engine.launch_first(run)
        elif ahead:
            for other in active:
                if other.started:
                    engine.cancel(other, "interrupt")

    # -- cancel and decide -------------------------------------------------------------------

    async def _cancel(self, pending: PendingCommand, cancel: commands.Cancel) -> None:
        engine = self._engine
        run = engine.runs.get(cancel.run_id)
        if run is not None and not run.closed:
            engine.cancel(
                run,
                "user",
                self._accept(pending, "cancel", thread_id=run.thread_id, run_id=run.run_id),
            )
            return
        row = run or await engine.patiently(lambda: engine.store.run(engine.user, cancel.run_id))
        if row is None:
            self._reject(pending, "cancel", "not_found", "There is no such run.")
        else:
            self._reject(pending, "cancel", "run_ended", "This run has ended already.")

    async def _decide(self, pending: PendingCommand, decide: commands.Decide) -> None:
        engine = self._engine
        for run in engine.runs.values():
            step = run.journal.approvals.get(decide.approval_id)
            if step is not None and not run.ending:
                engine.resolve(
                    run,
                    step.key,
                    decide.approval_id,
                    "approved" if decide.decision == "approve" else "denied",
                    decide.reason,
                    self._accept(pending, "decide", thread_id=run.thread_id, run_id=run.run_id),
                )
                return
        row = await engine.patiently(lambda: engine.store.approval(engine.user, decide.approval_id))
        if row is None:
            self._reject(pending, "decide", "not_found", "There is no such approval.")
        else:
            self._reject(pending, "decide", "already_decided", "This was decided already.")

    # -- threads -----------------------------------------------------------------------------

    def _create_thread(self, pending: PendingCommand, command: commands.CreateThread) -> None:
        thread_id = ThreadId(self._engine.ids.new())
        self._engine.histories.begin(thread_id)
        self._add(
            (thread_id, None, events.ThreadCreated(title=command.title)),
            (
                thread_id,
                None,
                self._accept(pending, "create_thread", thread_id=thread_id),
            ),
        )

    async def _update_thread(self, pending: PendingCommand, command: commands.UpdateThread) -> None:
        thread = await self._thread(command.thread_id)
        if thread is None:
            self._reject(pending, "update_thread", "not_found", "There is no such thread.")
            return
        changed = ThreadRow(
            thread_id=thread.thread_id,
            title=thread.title if command.title is None else command.title,
            archived=thread.archived if command.archived is None else command.archived,
            agent=thread.agent,
            created_ms=thread.created_ms,
            created_seq=thread.created_seq,
        )
        self._know(thread.thread_id, changed)
        self._add(
            (
                thread.thread_id,
                None,
                events.ThreadUpdated(title=changed.title, archived=changed.archived),
            ),
            (
                thread.thread_id,
                None,
                self._accept(pending, "update_thread", thread_id=thread.thread_id),
            ),
        )

    async def _delete_thread(self, pending: PendingCommand, command: commands.DeleteThread) -> None:
        thread = await self._thread(command.thread_id)
        if thread is None:
            self._reject(pending, "delete_thread", "not_found", "There is no such thread.")
            return
        self._deleting.add(thread.thread_id)
        self._engine.spawn(self._erase_thread(pending, thread.thread_id))

    async def _erase_thread(self, pending: PendingCommand, thread_id: ThreadId) -> None:
        """Cancel and await the thread's runs, then erase it with the entry that says so."""
        engine = self._engine
        runs = [r for r in engine.runs.values() if r.thread_id == thread_id and r.root]
        await engine.cancel_and_wait(runs, "erasure")
        self._add(
            (thread_id, None, events.ThreadDeleted()),
            (thread_id, None, self._accept(pending, "delete_thread", thread_id=thread_id)),
        )
        engine.outbox.erase(thread_id)
        self._threads.pop(thread_id, None)
        engine.histories.forget(thread_id)
        await engine.outbox.durable()
        self._deleting.discard(thread_id)

    async def _erase_user(self, pending: PendingCommand) -> None:
        """Let everything end that was asked before, then erase it; the activation ends with it."""
        engine = self._engine
        await engine.cancel_and_wait([run for run in engine.runs.values() if run.root], "erasure")
        # Only what is durable is erased: what the other commands led to must be.
        while self._taken != {pending.command_id}:
            self._others_settled.clear()
            await self._others_settled.wait()
        self._add((None, None, self._accept(pending, "forget")))
        engine.outbox.erase(None)
        await engine.outbox.durable()
        engine.begin_anew()
