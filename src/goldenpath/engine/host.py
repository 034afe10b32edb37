"""The only place that constructs engines: at most one for each user, while there is demand."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import msgspec

from goldenpath.engine.bodies import Abandoned, until_done
from goldenpath.engine.definitions import AgentRegistry
from goldenpath.engine.limits import Limits
from goldenpath.engine.ports import Clock, Ids, Observer, StoreClock, SystemClock, SystemIds
from goldenpath.engine.sharing import Sharing
from goldenpath.engine.ticks import Ticks
from goldenpath.engine.user_engine import UserExecutionEngine
from goldenpath.errors import (
    CodecError,
    GrammarError,
    LeaseHeldError,
    RefusedError,
    StoreUnavailableError,
)
from goldenpath.model.commands import AnyCommand, Receipt, Send, encode_command
from goldenpath.model.ids import CommandId, HostId, RunId, UserId
from goldenpath.store.interface import HostReport, Pulse, Refusal, Store, Watch

logger = logging.getLogger(__name__)

_SCAN_SECONDS = 1.0
_BREATH_SECONDS = 0.02
"""When somebody else's users are free they come together: they are looked for once."""
_RENEW_SECONDS = 1.0
_COMPARED_BEATS = 20
"""After so many renewals leases are compared with what the store has, trouble or none."""
_TELL_SECONDS = 1.0
"""A host that leaves waits no longer than this for the others to be told."""
_POLL_SECONDS = 1.0
_MOST_USERS = 100_000
"""More than can be active at once: those that are would otherwise hide those that wait."""
_UNAVAILABLE_SECONDS = 10.0
_ACQUIRING_AT_ONCE = 32
"""After a crash thousands of users wait: the first are to go on before the last have begun."""


class Settled(msgspec.Struct, frozen=True):
    """A command's receipt, and whether it had been settled or sent before."""

    receipt: Receipt
    duplicate: bool


class EngineHost:
    """Holds the leases and the engines of one process."""

    def __init__(
        self,
        store: Store,
        agents: AgentRegistry,
        *,
        limits: Limits | None = None,
        clock: Clock | None = None,
        ids: Ids | None = None,
        observer: Observer | None = None,
        name: str = "",
        version: str = "",
    ) -> None:
        """`name` and `version` are what operators see of this host."""
        self.store = store
        self.agents = agents
        self.limits = limits or Limits()
        self._store_clock = StoreClock(clock or SystemClock())
        self.clock: Clock = self._store_clock
        self.ids: Ids = ids or SystemIds()
        self.observer = observer or Observer()
        self.abandoned = Abandoned(self.limits.abandoned_bodies, self.observer)
        self.ticks = Ticks()
        self.host_id = HostId(self.ids.new())
        self.asked_to_leave = asyncio.Event()
        """An operator wants this host to drain and go."""
        self.quarantine: dict[UserId, str] = {}
        """Users whose log cannot be applied, and why. Others feel nothing of it."""
        self._engines: dict[UserId, UserExecutionEngine] = {}
        self._tasks: dict[UserId, asyncio.Task[None]] = {}
        self._wakes: set[UserId] = set()
        self._waiters: dict[tuple[UserId, CommandId], list[asyncio.Future[Receipt | Refusal]]] = {}
        self._acquiring = asyncio.Semaphore(_ACQUIRING_AT_ONCE)
        self._slots = 0
        self._slot_queue: deque[UserId] = deque()
        self._suspect: RunId | None = None
        self._suspect_queue: deque[UserId] = deque()
        self._rates: dict[UserId, tuple[float, float]] = {}
        self._locks: dict[UserId, asyncio.Lock] = {}
        self._sharing = Sharing(self.host_id)
        self._name, self._version = name, version
        self._doubtful = False
        """The store may not have what this host believes: its leases are to be compared."""
        self._beats = 0
        self._looked_around = asyncio.Event()
        self._look_soon = asyncio.Event()
        self._view_old = False
        """The hosts may be others than those that the last renewal showed."""
        self._lapses = 0
        self._renewed: float | None = None
        """When the last renewal that succeeded was begun, on the monotonic clock."""
        self._running = False
        self._draining = False

    # -- life --------------------------------------------------------------------------------

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[EngineHost]:
        """Serve until left; runs in memory are parked then, for the next start to go on with."""
        self._running = True
        self.store.on_news(self._heard)
        beat = asyncio.create_task(self._beat(), name="goldenpath-beat")
        scan = asyncio.create_task(self._scan(), name="goldenpath-scan")
        try:
            yield self
        finally:
            self._draining = True
            for task in (beat, scan):
                task.cancel()
            await asyncio.wait({beat, scan})
            await self.drain(0)
            with suppress(StoreUnavailableError):
                await self._compare_leases()
            self._running = False

    @property
    def accepting(self) -> bool:
        """True while commands are accepted."""
        return self._running and not self._draining

    @property
    def engines(self) -> int:
        """Engines alive."""
        return len(self._tasks)

    @property
    def waiting(self) -> int:
        """Runs that wait for their turn, on this host."""
        return sum(engine.waiting for engine in self._engines.values())

    async def drain(self, seconds: float) -> None:
        """Accept nothing more, let runs end within `seconds`, park the rest, free the leases.

        Where other hosts take users up, runs go over to them at once, but for those in the middle
        of a tool that may not be called again.
        """
        self._draining = True
        await self._tell_of_draining()
        for engine in list(self._engines.values()):
            engine.drain(hand_over=not self._sharing.alone)
        if self._tasks and seconds > 0:
            await asyncio.wait(set(self._tasks.values()), timeout=seconds)
        for engine in list(self._engines.values()):
            engine.shutdown()
        tasks = set(self._tasks.values())
        if tasks:
            await asyncio.wait(tasks, timeout=self.limits.cancel_seconds * 2 + 5)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _tell_of_draining(self) -> None:
        """First the others must know, or they would leave to this host what it gives back."""
        if self.store.lease_seconds is None or not self._tasks:
            return
        with suppress(StoreUnavailableError, TimeoutError):
            async with asyncio.timeout(_TELL_SECONDS):
                await self._renew()

    async def _beat(self) -> None:
        lease = self.store.lease_seconds
        pause = _RENEW_SECONDS if lease is None else min(_RENEW_SECONDS, lease / 6)
        while True:
            try:
                await self._renew()
                self._beats += 1
                if lease is not None and self._beats % _COMPARED_BEATS == 0:
                    self._doubtful = True  # a failover may have passed without an error
                await self._compare_leases()
            except StoreUnavailableError as error:
                self._doubtful = True
                logger.warning("the store does not answer: %s", error)
            except Exception:
                # Without its beat a host would look well, and never run anything again.
                self._doubtful = True
                logger.exception("a renewal failed")
            await asyncio.sleep(pause)

    async def _renew(self) -> None:
        began = self.clock.monotonic()
        pulse = await self.store.renew(self.host_id, self._report())
        self._note_renewal(began)
        self._take_in(pulse)

    def _report(self) -> HostReport:
        return HostReport(
            name=self._name,
            version=self._version,
            engines=len(self._tasks),
            waiting=self.waiting,
            draining=self._draining,
        )

    def _take_in(self, pulse: Pulse) -> None:
        self._store_clock.set(pulse.now_ms)
        self._sharing.seen(pulse.others, len(self._tasks))
        self._looked_around.set()
        if pulse.found_dead:
            self._look_soon.set()
        if pulse.leave:
            self.asked_to_leave.set()

    async def _compare_leases(self) -> None:
        """After trouble with the store: end engines whose lease is gone, give back what has none.

        A lease may be lost by a failover that lost it, and one that was given back come again so;
        and one whose answer never came is held by a host that does not know.
        """
        if not self._doubtful:
            return
        self._doubtful = False
        engines = dict(self._engines)
        try:
            held = await self.store.held(self.host_id)
            for user, engine in engines.items():
                if held.get(user) != engine.activation.epoch and self._engines.get(user) is engine:
                    engine.begin_anew()
            idle = [(user, epoch) for user, epoch in held.items() if user not in self._tasks]
            if idle:  # thousands after an outage: one after the other would outlast the lease
                await asyncio.gather(*(self.store.release(*one) for one in idle))
                self._look_soon.set()
        except StoreUnavailableError:
            self._doubtful = True
            raise

    def _note_renewal(self, began: float) -> None:
        if self._renewed is not None and not self._sure():
            self._lapses += 1  # too late: what was held then may be another's now
            self._doubtful = True
        self._renewed = began if self._renewed is None else max(began, self._renewed)

    def _sure(self) -> bool:
        lease = self.store.lease_seconds
        if lease is None:
            return True
        return self._renewed is not None and self.clock.monotonic() - self._renewed < lease

    def holds_leases(self, since: int) -> bool:
        """False if another host may have taken over, since this one could not renew for long.

        `since` is how often that had happened when the lease was taken.
        """
        return self._sure() and self._lapses == since

    async def _scan(self) -> None:
        """Demand is durable: look for users who wait, though nobody asks."""
        if self.store.lease_seconds is not None:
            await self._looked_around.wait()  # before, every user seems to be anybody's
        while True:
            orphans = self._look_soon.is_set()
            self._look_soon.clear()
            if self._view_old:
                self._view_old = False
                with suppress(StoreUnavailableError):
                    await self._renew()
            await self._wake_who_waits(orphans=orphans)
            with suppress(TimeoutError):
                async with asyncio.timeout(_SCAN_SECONDS):
                    await self._look_soon.wait()
                    await asyncio.sleep(_BREATH_SECONDS)

    async def _wake_who_waits(self, *, orphans: bool = False) -> None:
        try:
            users = await self.store.demand(self.clock.now_ms(), _MOST_USERS, self.host_id)
        except StoreUnavailableError as error:
            logger.warning("cannot look for demand: %s", error)
            return
        except Exception:
            logger.exception("looking for demand failed")
            return
        here = [user for user in users if user in self._tasks]
        others = (user for user in users if user not in self._tasks)
        now = self.clock.monotonic()
        for user in [*here, *self._sharing.mine(others, now, orphans=orphans)]:
            self.wake(user)

    def _heard(self, user: UserId | None) -> None:
        """Another host made a command of a user durable, or (None) gave one back who waits."""
        if user is None:
            self._view_old = True  # whoever gave users back may be leaving
            self._look_soon.set()
        elif user in self._tasks:
            self.wake(user)

    async def look(self) -> None:
        """Have whoever waits look at the clock now: somebody moved it."""
        for engine in self._engines.values():
            engine.wake()
        await self._wake_who_waits()

    # -- commands ----------------------------------------------------------------------------

    async def submit(self, user: UserId, command_id: CommandId, command: AnyCommand) -> Settled:
        """Make a command durable, and wait for what it led to.

        Raises RefusedError with a code of the protocol; `unavailable` means that the outcome is
        unknown, and that the same id may be sent again.
        """
        self._check(user, command)
        body = encode_command(command)
        began = self.clock.monotonic()
        if not self.accepting:
            raise _unavailable("This server is shutting down.")
        key = (user, command_id)
        waiter: asyncio.Future[Receipt | Refusal] = asyncio.get_running_loop().create_future()
        self._waiters.setdefault(key, []).append(waiter)
        # Where hosts share the store, the engine that answers may be another's.
        watch = None if self.store.lease_seconds is None else self.store.watch(user)
        try:
            submission = await self.store.submit(user, command_id, body, self.clock.now_ms())
            if submission.receipt is not None:
                return _answer(submission.receipt, duplicate=True)
            self.wake(user)
            outcome = await self._outcome(user, command_id, waiter, watch)
            if isinstance(command, Send) and isinstance(outcome, Receipt):
                # Its receipt and the run's first event became durable in one append.
                self.observer.first_event(self.clock.monotonic() - began)
            return _answer(outcome, duplicate=submission.state != "new")
        except StoreUnavailableError as error:
            raise _unavailable("The service cannot store anything at the moment.") from error
        finally:
            if watch is not None:
                watch.close()
            waiters = self._waiters.get(key)
            if waiters is not None:
                waiters.remove(waiter)
                if not waiters:
                    del self._waiters[key]

    def _check(self, user: UserId, command: AnyCommand) -> None:
        if isinstance(command, Send):
            if command.agent is not None and self.agents.get(command.agent) is None:
                raise RefusedError("unknown_agent", f"There is no agent {command.agent!r}.")
            size = len(command.text.encode("utf-8", "surrogatepass"))
            if size > self.limits.message_bytes:
                raise RefusedError(
                    "too_large", f"A message may have {self.limits.message_bytes} bytes."
                )
            if command.attachments:
                raise RefusedError("invalid_field", "attachments: this version takes none.")
        if user in self.quarantine:
            raise _unavailable("Your conversation cannot be opened; the operator knows of it.")
        if not self._within_rate(user):
            raise RefusedError("rate_limited", "Too many commands; wait a moment.", retryable=True)

    def _within_rate(self, user: UserId) -> bool:
        """A token bucket for each user: a minute's worth at most."""
        most = float(self.limits.commands_per_minute)
        now = self.clock.monotonic()
        tokens, then = self._rates.pop(user, (most, now))
        tokens = min(most, tokens + (now - then) * most / 60)
        allowed = tokens >= 1
        self._rates[user] = (tokens - 1 if allowed else tokens, now)
        while len(self._rates) > 10_000:
            self._rates.pop(next(iter(self._rates)))
        return allowed

    async def _outcome(
        self,
        user: UserId,
        command_id: CommandId,
        waiter: asyncio.Future[Receipt | Refusal],
        watch: Watch | None,
    ) -> Receipt | Refusal:
        deadline = self.clock.monotonic() + _UNAVAILABLE_SECONDS
        while True:
            grown = await _waited(waiter, watch)
            if waiter.done():
                return waiter.result()
            if grown and user in self._engines and self.clock.monotonic() < deadline:
                continue  # it will tell
            # Settled by another host, or by an engine that is gone: the store knows.
            outcome = await self.store.outcome(user, command_id)
            if outcome is not None:
                return outcome
            if self.clock.monotonic() > deadline or user in self.quarantine:
                raise _unavailable("The outcome is not known yet; send it again with its id.")
            self.wake(user)

    def settled(self, user: UserId, outcome: Receipt | Refusal) -> None:
        """An engine tells that a command's end is durable."""
        for waiter in self._waiters.get((user, outcome.command_id), ()):
            if not waiter.done():
                waiter.set_result(outcome)

    # -- engines -----------------------------------------------------------------------------

    def wake(self, user: UserId) -> None:
        """There may be something to do for this user: tell its engine, or start one."""
        engine = self._engines.get(user)
        if engine is not None:
            engine.wake()
            self._wakes.add(user)
        elif user in self._tasks:
            self._wakes.add(user)
        elif self._running and not self._draining and user not in self.quarantine:
            task = asyncio.create_task(self._serve(user), name=f"goldenpath-engine-{user}")
            self._tasks[user] = task

    async def _serve(self, user: UserId) -> None:
        """One user's activation, from lease to release."""
        failures = 0
        try:
            while True:
                self._wakes.discard(user)
                lock = self._locks.setdefault(user, asyncio.Lock())
                async with lock:
                    again = await self._activate(user)
                if again:
                    failures += 1
                    await asyncio.sleep(min(0.1 * 2**failures, 5.0))
                elif user not in self._wakes or self._draining:
                    return
        finally:
            self._tasks.pop(user, None)
            self._locks.pop(user, None)
            self.observer.engines(len(self._tasks))

    async def _activate(self, user: UserId) -> bool:
        """Run one activation. True if it should be tried again soon."""
        if self._draining:
            return False
        lapses = self._lapses
        if not self.holds_leases(lapses):
            return True
        try:
            async with self._acquiring:
                activation = await self.store.acquire(user, self.host_id, self.ids.mark())
        except StoreUnavailableError:
            self._doubtful = True  # it may have been given all the same
            return True
        except LeaseHeldError:
            return False
        engine = UserExecutionEngine(self, user, activation, lapses)
        self._engines[user] = engine
        self.observer.engines(len(self._tasks))
        try:
            await engine.main()
        except Exception as error:
            return self._engine_failed(user, error)
        finally:
            self._engines.pop(user, None)
            await self._release(user, activation.epoch)
        return False

    def _engine_failed(self, user: UserId, error: Exception) -> bool:
        """Quarantine a log that cannot be applied; anything else is tried again."""
        broken = _find(error, (CodecError, GrammarError))
        if broken is not None:
            self.quarantine[user] = str(broken)
            self.observer.quarantined(user, str(broken))
            logger.error("the log of user %s is quarantined: %s", user, broken, exc_info=error)
            return False
        if _find(error, (StoreUnavailableError,)) is None:
            self.observer.engine_failed(user, error)
            logger.error("the engine of user %s failed", user, exc_info=error)
        return True

    async def _release(self, user: UserId, epoch: int) -> None:
        try:
            await self.store.release(user, epoch)
        except StoreUnavailableError:
            # While this host lives no other one gets the user: it is given back with the next beat.
            self._doubtful = True

    # -- places ------------------------------------------------------------------------------

    def take_slot(self, user: UserId) -> bool:
        """A place among the host's active runs; users without one are served in turn."""
        if self._slots < self.limits.host_runs_at_once and (
            not self._slot_queue or self._slot_queue[0] == user
        ):
            if self._slot_queue:
                self._slot_queue.popleft()
            self._slots += 1
            return True
        if user not in self._slot_queue:
            self._slot_queue.append(user)
        return False

    def give_slot(self, user: UserId) -> None:
        self._slots -= 1
        self._call_next_slot()

    def _call_next_slot(self) -> None:
        while self._slot_queue and self._slots < self.limits.host_runs_at_once:
            engine = self._engines.get(self._slot_queue[0])
            if engine is not None and engine.wants_slot:
                engine.wake()
                return
            self._slot_queue.popleft()

    def take_suspect(self, run_id: RunId, user: UserId) -> bool:
        if self._suspect is None or self._suspect == run_id:
            self._suspect = run_id
            return True
        if user not in self._suspect_queue:
            self._suspect_queue.append(user)
        return False

    def give_suspect(self, run_id: RunId) -> None:
        if self._suspect == run_id:
            self._suspect = None
            while self._suspect_queue:
                self.wake(self._suspect_queue.popleft())


async def _waited(waiter: asyncio.Future[Receipt | Refusal], watch: Watch | None) -> bool:
    """Until the waiter is done, or for a while. True if the log has grown meanwhile."""
    if watch is None:
        await until_done(waiter, _POLL_SECONDS)
        return False
    grown = asyncio.ensure_future(watch.wait())
    try:
        await asyncio.wait(
            {waiter, grown}, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        return grown.done()
    finally:
        grown.cancel()


def _find(error: BaseException, types: tuple[type[Exception], ...]) -> Exception | None:
    """The first exception of these types in a (group of) exceptions."""
    inner: tuple[BaseException, ...] | None = getattr(error, "exceptions", None)
    if inner is not None:
        for one in inner:
            found = _find(one, types)
            if found is not None:
                return found
        return None
    return error if isinstance(error, types) else None


def _unavailable(message: str) -> RefusedError:
    return RefusedError("unavailable", message, retryable=True)


def _answer(outcome: Receipt | Refusal, *, duplicate: bool) -> Settled:
    error = outcome.error
    if error is not None:
        raise RefusedError(error.code, error.message, retryable=error.retryable)
    assert isinstance(outcome, Receipt)
    return Settled(outcome, duplicate)
