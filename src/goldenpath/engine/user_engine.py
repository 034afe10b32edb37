"""The one thing that executes agents, and the only writer of a user's log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from goldenpath.engine import demand
from goldenpath.engine.bodies import Abandoned
from goldenpath.engine.definitions import AgentRegistry
from goldenpath.engine.execution import Execution
from goldenpath.engine.histories import Histories
from goldenpath.engine.intake import Intake
from goldenpath.engine.limits import Limits
from goldenpath.engine.outbox import FencedError, Outbox
from goldenpath.engine.ports import Clock, Ids, Observer
from goldenpath.engine.run import Run, closing
from goldenpath.engine.ticks import Ticks
from goldenpath.errors import CodecError, GrammarError, PositionError, StoreUnavailableError
from goldenpath.model import events
from goldenpath.model.commands import Receipt
from goldenpath.model.entries import Body, Entry, decode
from goldenpath.model.grammar import UserState
from goldenpath.model.ids import RunId, Seq, ThreadId, UserId
from goldenpath.model.journal import (
    CancelRequested,
    RunOpened,
    RunParked,
    StepCompleted,
    StepKey,
)
from goldenpath.store.interface import Activation, History, Position, Refusal, Store

_DEATHS_MOST = 3


class Services(Protocol):
    """What an engine shares with the other engines of its host."""

    store: Store
    agents: AgentRegistry
    limits: Limits
    clock: Clock
    ids: Ids
    observer: Observer
    abandoned: Abandoned
    ticks: Ticks

    def take_slot(self, user: UserId) -> bool:
        """A place among the host's active runs; False: the user is woken when it may try again."""
        ...

    def give_slot(self, user: UserId) -> None: ...
    def take_suspect(self, run_id: RunId, user: UserId) -> bool:
        """The one place of a run that died twice; False: woken when it is free."""
        ...

    def give_suspect(self, run_id: RunId) -> None: ...
    def holds_leases(self, since: int) -> bool:
        """False if another host may have taken over meanwhile."""
        ...

    def settled(self, user: UserId, outcome: Receipt | Refusal) -> None: ...
    def wake(self, user: UserId) -> None: ...


class UserExecutionEngine:
    """All runs of one user, for one activation. Constructed by EngineHost alone."""

    def __init__(
        self, services: Services, user: UserId, activation: Activation, lapses: int
    ) -> None:
        self.user = user
        self.store = services.store
        self.agents = services.agents
        self.limits = services.limits
        self.clock = services.clock
        self.ids = services.ids
        self.observer = services.observer
        self.abandoned = services.abandoned
        self.ticks = services.ticks
        self.activation = activation
        self.runs: dict[RunId, Run] = {}
        self.threads = asyncio.Semaphore(self.limits.threads_per_user)
        self._services = services
        self._lapses = lapses
        self._state: UserState | None = None
        self._lost = False
        """The lease went while the log was read."""
        self.outbox: Outbox
        """Set when the activation is loaded; nothing is written before."""
        self._intake = Intake(self)
        self._asked = True
        """The inbox may hold a command that was not taken: asking the store is worth it."""
        self._tasks: asyncio.TaskGroup | None = None
        self._woken = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due: int | None = None
        self.histories = Histories(self._read_history, self.limits.history_messages)
        self._draining = False
        self._leaving = False

    # -- life --------------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """Executions in memory."""
        return sum(run.execution is not None for run in self.runs.values())

    @property
    def waiting(self) -> int:
        """Root runs that have not begun."""
        return sum(run.root and not run.started for run in self.runs.values())

    def describe(self) -> str:
        """For an operator: what keeps this engine alive."""
        runs = ", ".join(
            f"{r.run_id} {r.agent} attempt {r.attempts}"
            + (f" parked {r.parked}" if r.parked else "")
            + (f" resume {r.resume}" if r.resume else "")
            + (" ending" if r.ending else "")
            + (" in memory" if r.execution is not None else "")
            for r in self.runs.values()
        )
        outbox = "none yet" if self._state is None else self.outbox
        return f"{self.user}: runs [{runs}], intake {self._intake}, outbox {outbox}"

    @property
    def wants_slot(self) -> bool:
        """True while a run waits for a place on the host."""
        return any(
            run.root and not run.slot and not run.ending and (not run.started or run.resume)
            for run in self.runs.values()
        )

    def begin_anew(self) -> None:
        """End this activation, also while it is loaded; the next one takes what waits."""
        self._services.wake(self.user)
        if self._state is None:
            self._lost = True
        else:
            self.outbox.close()

    async def main(self) -> None:
        """Serve the user until idle, shut down or fenced. Raises CodecError, GrammarError."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                await self._load()
                guard = tasks.create_task(self.outbox.guard())
                self._recover()
                await self._serve()
                guard.cancel()
        except* FencedError:
            pass
        finally:
            if self._state is not None:
                self.outbox.close()
            if self._timer is not None:
                self._timer.cancel()
            for run in self.runs.values():
                self._give_back(run)
            # What is large goes now; the rest is a cycle, which the collector finds some day.
            self.runs.clear()
            self.histories.clear()

    async def _serve(self) -> None:
        while True:
            self._woken.clear()
            if self._asked:
                self._asked = False
                if not await self._intake.take():
                    self._asked = True
            self._on_due()
            self._schedule()
            if self._idle() and await self._may_leave():
                return
            if not self._woken.is_set():
                self.arm_timer()
                if self._idle():
                    seconds = 0 if self._draining else self.limits.linger_seconds
                    lingered = asyncio.get_running_loop().call_later(seconds, self._lingered)
                    try:
                        await self._woken.wait()
                    finally:
                        lingered.cancel()
                else:
                    await self._woken.wait()

    def _lingered(self) -> None:
        """Nobody asked for anything for long enough."""
        if not self._woken.is_set():
            self._leaving = True
            self._woken.set()

    def _idle(self) -> bool:
        return (
            self._intake.idle
            and all(
                run.parked is not None and run.resume is None and run.execution is None
                for run in self.runs.values()
            )
        ) or (self._draining and self._intake.idle and self.active == 0)

    async def _may_leave(self) -> bool:
        """True when nothing is left to be written and nobody asked for anything meanwhile."""
        if not (self._leaving or self._draining):
            return False
        self.outbox.touch()
        await self.outbox.drained()
        if self._woken.is_set() and not self._draining:
            self._leaving = False
            return False
        return True

    def wake(self) -> None:
        """There may be something to do, be it a command."""
        self._asked = True
        self._go_on()

    def _go_on(self) -> None:
        """Something of the runs has changed: look at them."""
        self._leaving = False
        self._woken.set()

    def drain(self, *, hand_over: bool = False) -> None:
        """Begin no more runs; leave when those in memory have ended, or may go elsewhere."""
        self._draining = True
        if hand_over:
            for run in list(self.runs.values()):
                if run.execution is not None and self._replayable(run):
                    run.execution.hand_over()
        self._woken.set()

    def _replayable(self, run: Run) -> bool:
        """True if whoever waits for the run could go on elsewhere, too."""
        parent = self.runs.get(run.parent_run_id) if run.parent_run_id else None
        if parent is None or parent.execution is None:
            return True
        return parent.execution.agent.recover == "replay" and self._replayable(parent)

    def shutdown(self) -> None:
        """Park what is in memory, so that the next activation goes on with it."""
        self._draining = True
        for run in list(self.runs.values()):
            if run.execution is None:
                continue
            if run.execution.agent.recover == "fail":
                run.execution.stop("shutdown")  # no entry says that it waits: it does not go on
            else:
                run.execution.park("shutdown")
        self._woken.set()

    def check_lease(self) -> None:
        """Raise FencedError if this activation is over, or if another one may have begun."""
        if not self._services.holds_leases(self._lapses):
            self.outbox.close()
        if self.outbox.fenced:
            raise FencedError

    def spawn(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine that belongs to this engine."""
        assert self._tasks is not None
        return self._tasks.create_task(work)

    # -- activation --------------------------------------------------------------------------

    async def _load(self) -> None:
        """Read the open runs' journals; nothing else of the user's history."""
        # It reads later than the lease was given: another activation may have begun since, or the
        # store have lost commits. Then this one ends before what it read counts for anything.
        try:
            state = await self._restored()
        except (CodecError, GrammarError):
            await self._check_unchanged()
            raise
        if self.activation.open_runs:
            await self._check_unchanged()
        if self._lost:
            raise FencedError
        self._state = state
        self.outbox = Outbox(
            self.store,
            self.user,
            self.activation,
            self._state,
            self.clock,
            self.ids,
            self.ticks,
            due=self._due_ms,
            settled=self._on_settled,
        )

    async def _check_unchanged(self) -> None:
        """Raise FencedError unless the log is what it was when the lease was given."""
        given = Position(self.activation.mark, self.activation.head)
        try:
            batch = await self.patiently(lambda: self.store.read(self.user, given, 1))
        except PositionError as error:
            raise FencedError from error
        if batch.to != given.cursor:
            raise FencedError

    async def _restored(self) -> UserState:
        rows = self.activation.open_runs
        self.runs = {row.run_id: Run.of(row) for row in rows}
        entries: list[Entry] = []
        after = min((row.first_seq for row in rows), default=self.activation.head + 1) - 1
        while after < self.activation.head:
            version, page = await self.patiently(
                lambda after=after: self.store.entries(self.user, Seq(after))
            )
            if not page:
                raise CodecError(f"the log ends at {after}, not at {self.activation.head}")
            for encoded in page:
                after = encoded.seq
                if encoded.json and after <= self.activation.head:
                    entry = decode(encoded, version)
                    run = None if entry.run_id is None else self.runs.get(entry.run_id)
                    if run is not None:
                        entries.append(entry)
                        run.fold([entry])
        return UserState.restore(
            head=self.activation.head,
            open_runs=rows,
            approvals=self.activation.open_approvals,
            entries=entries,
        )

    async def patiently(self, read: Callable[[], Any]) -> Any:
        """Reads of an activation are repeated until the store answers."""
        while True:
            try:
                return await read()
            except StoreUnavailableError:
                await asyncio.sleep(0.1 + self.ids.random() / 5)

    async def _read_history(self, thread_id: ThreadId) -> History | None:
        most = self.limits.history_messages
        return await self.patiently(lambda: self.store.history(self.user, thread_id, most, None))

    def _recover(self) -> None:
        """Decide for each open run how it goes on after whatever ended the last activation."""
        for run in sorted(self.runs.values(), key=lambda run: run.depth, reverse=True):
            agent = self.agents.get(run.agent)
            if run.cancelled is not None:
                self._finish_soon(run, "cancelled", None)
            elif not run.started:
                continue
            elif agent is None:
                self._finish_soon(run, "failed", _CODE_CHANGED)
            elif run.parked in (None, "crash") or (
                run.parked == "shutdown" and agent.recover == "fail"
            ):
                run.deaths += 1
                if run.deaths >= _DEATHS_MOST or agent.recover == "fail":
                    self._finish_soon(run, "failed", _CRASHED, "interrupted")
                else:
                    run.resume = "crash"
            elif run.parked == "shutdown":
                run.resume = "shutdown"
            else:
                self._look_at_parked(run)

    def _look_at_parked(self, run: Run) -> None:
        """Take a parked run up again if what it waits for has come."""
        if run.parked is None or run.resume is not None:
            return
        if demand.may_go_on(run, self.runs, self.clock.now_ms()):
            run.resume = run.parked

    # -- the log -----------------------------------------------------------------------------

    def emit(self, run: Run, *bodies: Body) -> int:
        """Add entries of a run, in one append; gives the last seq."""
        entries = self.outbox.add([(run.thread_id, run.run_id, body) for body in bodies])
        run.fold(entries)
        return entries[-1].seq

    def _on_settled(self, outcome: Receipt | Refusal) -> None:
        self._intake.settled(outcome.command_id)
        if isinstance(outcome, Refusal):
            # It may have been sent again before this was known here: then it waits once more.
            self._asked = True
        self._woken.set()
        self._services.settled(self.user, outcome)

    def _due_ms(self) -> int | None:
        return demand.durable_due_ms(self.runs, self.clock.now_ms())

    # -- time --------------------------------------------------------------------------------

    def arm_timer(self) -> None:
        """Wake at the next expiry or end of a sleep."""
        due = demand.timer_ms(self.runs)
        if due == self._timer_due and (self._timer is not None or due is None):
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_due = due
        if due is not None:
            seconds = max(due - self.clock.now_ms(), 0) / 1000 + 0.001
            # A long wait is cut, so that a clock that jumps is noticed.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(seconds, 60.0), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._go_on()

    def _on_due(self) -> None:
        now = self.clock.now_ms()
        for run in list(self.runs.values()):
            for approval_id, step in list(run.journal.approvals.items()):
                if step.until_ms is not None and step.until_ms <= now and not run.ending:
                    self.resolve(run, step.key, approval_id, "expired", None)
            self._look_at_parked(run)

    def resolve(
        self,
        run: Run,
        key: StepKey,
        approval_id: Any,
        decision: Any,
        reason: str | None,
        *more: Body,
    ) -> None:
        """Record an approval's end and let the run go on."""
        resolved = events.ApprovalResolved(
            approval_id=approval_id, decision=decision, reason=reason
        )
        completed = StepCompleted(
            key=key,
            value={"decision": decision, "reason": reason},
            remaining_ms=run.remaining_ms
            if run.execution is None
            else run.execution.budget.remaining_ms,
        )
        if run.execution is not None:
            run.execution.answer.flush()
        self.emit(run, resolved, completed, *more)
        order = run.journal.steps[key].order
        if key.name.startswith("approval:") and order is not None and run.execution is not None:
            run.journal.silence(order)
        waiter = run.decisions.pop(approval_id, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._look_at_parked(run)
        self._go_on()

    # -- scheduling --------------------------------------------------------------------------

    def _schedule(self) -> None:
        """Begin and take up what may run now, in order."""
        if self._draining or self._intake.forgetting:
            return
        for run in sorted(self.runs.values(), key=lambda run: run.order):
            if run.ending or run.execution is not None:
                continue
            if run.started and run.resume is not None:
                self._resume(run)
            elif not run.started and self.admit(run) is None:
                self.begin(run)

    def admit(self, run: Run) -> str | None:
        """Take a slot for a root run; else why it must wait."""
        if not run.root or run.slot:
            return None
        if self._draining or self.abandoned.full:
            return "host_limit"
        if not run.started and any(
            other.root
            and other is not run
            and other.thread_id == run.thread_id
            and (other.started or other.order < run.order)
            for other in self.runs.values()
        ):
            return "thread_busy"
        if sum(other.slot for other in self.runs.values()) >= self.limits.runs_at_once:
            return "user_limit"
        if not self._services.take_slot(self.user):
            return "host_limit"
        run.slot = True
        return None

    def started_event(self, run: Run) -> events.AgentStarted:
        """The first event of a run that begins now."""
        agent = self.agents.get(run.agent)
        assert agent is not None
        run.version = agent.version
        return events.AgentStarted(
            agent=run.agent,
            version=agent.version,
            message_id=run.message_id,
            parent_run_id=run.parent_run_id,
            deadline_ms=run.remaining_ms,
        )

    def begin(self, run: Run) -> None:
        """Start an admitted run."""
        if self.agents.get(run.agent) is None:
            self._finish_soon(run, "failed", _CODE_CHANGED)
            return
        self.emit(run, self.started_event(run))
        self.launch_first(run)

    def launch_first(self, run: Run) -> None:
        """The first attempt at a run whose `agent_started` was added."""
        run.attempts = 1
        run.started_ms = self.clock.now_ms()
        self.observer.run_started(0.0)
        self._launch(run)

    def _resume(self, run: Run) -> None:
        suspect = run.deaths == _DEATHS_MOST - 1
        if self.admit(run) is not None:
            self._hold_back(run)
            return
        if suspect and not self._services.take_suspect(run.run_id, self.user):
            self._give_back(run)
            self._hold_back(run)
            return
        reason: Any = run.resume
        run.attempts += 1
        run.resume = None
        run.parked = None
        self.emit(run, events.AgentResumed(attempt=run.attempts, reason=reason))
        self._tell_parent(run, parked=False)
        self._launch(run)

    def _hold_back(self, run: Run) -> None:
        """Say of a run whose process died that it waits; the others have an entry that does."""
        if run.parked is None:
            run.parked = "crash"
            self.emit(run, RunParked(reason="crash", remaining_ms=run.remaining_ms))

    def _launch(self, run: Run) -> None:
        agent = self.agents.get(run.agent)
        assert agent is not None
        run.execution = Execution(self, run, agent)
        self.spawn(self._execute(run, run.execution))

    async def _execute(self, run: Run, execution: Execution) -> None:
        await execution.main(await self.histories.before(run))

    def _give_back(self, run: Run) -> None:
        if run.slot:
            run.slot = False
            self._services.give_slot(self.user)
        self._services.give_suspect(run.run_id)

    # -- ends --------------------------------------------------------------------------------

    async def finish(
        self,
        run: Run,
        status: events.RunOutcome,
        error: events.RunError | None,
        *,
        usage: dict[str, int | float] | None = None,
        remaining_ms: int | None = None,
        calls_end: events.ToolStatus | None = None,
    ) -> None:
        """End a run: its terminal, and nothing after it. The slot is free when it is durable."""
        run.ending = True
        if run.execution is not None:
            run.execution.answer.flush()
        self.emit(
            run,
            *closing(
                run,
                status,
                error,
                now_ms=self.clock.now_ms(),
                remaining_ms=run.remaining_ms if remaining_ms is None else remaining_ms,
                usage=usage or {},
                calls_end=calls_end,
            ),
        )
        run.closed = True
        end = events.AgentCompleted(
            status=status,
            output=run.journal.text,
            partial=False,
            error=error,
            usage=usage or {},
            duration_ms=0,
        )
        await self.outbox.durable()
        self.runs.pop(run.run_id, None)
        self._give_back(run)
        began = run.started_ms or self.clock.now_ms()
        self.observer.run_ended(
            status, error.code if error else None, (self.clock.now_ms() - began) / 1000
        )
        if run.root:
            self.observer.answer_produced()
            self.histories.add(run)
        if run.ended is not None and not run.ended.done():
            run.ended.set_result(end)
        parent = self.runs.get(run.parent_run_id) if run.parent_run_id else None
        if parent is not None:
            self._look_at_parked(parent)
        self._go_on()

    def _finish_soon(
        self,
        run: Run,
        status: events.RunOutcome,
        error: events.RunError | None,
        calls_end: events.ToolStatus | None = None,
    ) -> None:
        """End a run that has no code in memory."""
        if not run.ending:
            run.ending = True
            self.spawn(self._finish_tree(run, status, error, calls_end))

    async def _finish_tree(
        self,
        run: Run,
        status: events.RunOutcome,
        error: events.RunError | None,
        calls_end: events.ToolStatus | None,
    ) -> None:
        await self.end_children(run)
        await self.finish(run, status, error, calls_end=calls_end)

    def cancel(self, run: Run, reason: Any, *settled: Body) -> None:
        """Cancel a run, wherever it is; `settled` goes with the request's entry."""
        if run.execution is not None:
            run.execution.answer.flush()
        if run.cancelled is None and not run.ending:
            run.cancelled = reason
            self.emit(run, CancelRequested(reason=reason), *settled)
        elif settled:
            self.emit(run, *settled)
        if run.execution is not None:
            run.execution.stop("cancelled")
        elif not run.ending:
            self._finish_soon(run, "cancelled", None)

    async def cancel_and_wait(self, runs: list[Run], reason: Any) -> None:
        """Cancel runs and return when their terminals are durable."""
        ends: list[asyncio.Future[events.AgentCompleted]] = []
        for run in runs:
            if run.ended is None:
                run.ended = asyncio.get_running_loop().create_future()
            ends.append(run.ended)
            if not run.ending:
                self.cancel(run, reason)
        for end in ends:
            await asyncio.shield(end)

    async def end_children(self, run: Run) -> None:
        """A run that ends ends its children first."""
        children = [r for r in self.runs.values() if r.parent_run_id == run.run_id]
        if children:
            await self.cancel_and_wait(children, "parent")

    def attempt_parked(self, run: Run, attempt: int) -> None:
        """A run has left the memory, and that is durable; its slot is free."""
        if run.attempts != attempt:
            return  # taken up again before it was durable: what it had is the next attempt's
        self._give_back(run)
        self._tell_parent(run, parked=True)
        if run.cancelled is not None:
            self._finish_soon(run, "cancelled", None)
        self._look_at_parked(run)
        self._go_on()

    def _tell_parent(self, run: Run, *, parked: bool) -> None:
        parent = self.runs.get(run.parent_run_id) if run.parent_run_id else None
        if parent is not None and parent.execution is not None:
            parent.execution.child_parked(run.run_id, parked)

    # -- children ----------------------------------------------------------------------------

    def refuse_child(self, parent: Run) -> str | None:
        """Why this run may have no further child; None if it may."""
        if parent.depth + 1 > self.limits.child_depth:
            return f"agents may call agents {self.limits.child_depth} deep, not deeper"
        width = sum(r.parent_run_id == parent.run_id for r in self.runs.values())
        if width >= self.limits.child_width:
            return f"a run may have {self.limits.child_width} children at once, not more"
        return None

    def start_child(
        self, parent: Run, key: StepKey, run_id: RunId, name: str, text: str, seconds: float
    ) -> None:
        """Open and start a child run; it takes no slot."""
        agent = self.agents.get(name)
        assert agent is not None
        own = agent.deadline or self.limits.run_seconds
        child = Run(
            run_id=run_id,
            thread_id=parent.thread_id,
            message_id=None,
            parent_run_id=parent.run_id,
            agent=name,
            version=agent.version,
            text=text,
            remaining_ms=int(min(own, seconds) * 1000),
            depth=parent.depth + 1,
            ahead=False,
            first_seq=self.outbox.head + 1,
        )
        self.runs[run_id] = child
        self.emit(
            child,
            RunOpened(
                agent=name,
                budget_ms=child.remaining_ms,
                depth=child.depth,
                input=text,
                parent_run_id=parent.run_id,
                parent_step=key,
            ),
            self.started_event(child),
        )
        self.launch_first(child)

    async def ended_child(self, run_id: RunId) -> events.AgentCompleted:
        """How a child ended that is no longer open."""
        row = await self.patiently(lambda: self.store.run(self.user, run_id))
        if row is None or row.last_seq is None:
            return events.AgentCompleted(
                status="failed", output="", partial=False, error=_CRASHED, usage={}, duration_ms=0
            )
        return events.AgentCompleted(
            status=row.status,
            output=row.output or "",
            partial=row.partial,
            error=row.error,
            usage=row.usage,
            duration_ms=0,
        )


_CRASHED = events.RunError(
    code="crashed", message="This run was interrupted and cannot be continued.", retryable=True
)
_CODE_CHANGED = events.RunError(
    code="code_changed", message="The agent was changed while this run waited.", retryable=True
)
