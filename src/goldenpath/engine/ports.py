"""What the engine needs from outside: time, ids, randomness, and somebody who counts.

All are arguments, so that the whole runs in a simulator. Waiting uses the running event loop.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from typing import NamedTuple, Protocol

from goldenpath.model.ids import CallId, Mark, RunId, ThreadId, UserId, uuid7
from goldenpath.model.journal import StepKey


class Clock(Protocol):
    """Wall time for showing and for being due; monotonic time for measuring."""

    def now_ms(self) -> int:
        """Unix milliseconds."""
        ...

    def monotonic(self) -> float:
        """Seconds of a clock that never jumps."""
        ...


class Ids(Protocol):
    """Mints ids and random numbers."""

    def new(self) -> str:
        """A new UUIDv7."""
        ...

    def mark(self) -> Mark:
        """A new activation's mark, never repeated."""
        ...

    def random(self) -> float:
        """A number in [0, 1), for jitter."""
        ...


class Attempt(NamedTuple):
    """One attempt at a run: `number` is 1 for the first."""

    run_id: RunId
    thread_id: ThreadId
    parent_run_id: RunId | None
    agent: str
    number: int


class Observer:
    """Told of what happens, for metrics, logs and traces; the base class ignores it all.

    Where it says that something begins, it is called in the context (`contextvars`) that the
    agent's, tool's or step's code gets, in its task or thread: what is set here is seen there, and
    by nothing else. What has begun ends once.
    """

    def run_started(self, waited_s: float) -> None: ...
    def run_ended(self, status: str, code: str | None, seconds: float) -> None: ...
    def run_queued(self, waiting: int) -> None: ...
    def first_event(self, seconds: float) -> None: ...
    def answer_produced(self) -> None: ...
    def answer_delivered(self) -> None: ...
    def delivery_lag(self, seconds: float) -> None: ...
    def body_abandoned(self, what: str, alive: int) -> None: ...
    def abandoned_body_ended(self, alive: int) -> None: ...
    def engines(self, count: int) -> None: ...
    def sockets(self, count: int) -> None: ...
    def quarantined(self, user: UserId, reason: str) -> None: ...
    def engine_failed(self, user: UserId, error: BaseException) -> None: ...
    def step_asked(self, run_id: RunId, attempt: int, key: StepKey, recorded: bool) -> None:
        """Called where the agent's code asks, so that the stack shows its line."""

    def body_entered(self, run_id: RunId, key: StepKey) -> None:
        """Right before the code of a tool or of a step's function runs."""

    def attempt_began(self, attempt: Attempt) -> None:
        """The agent's code is about to run."""

    def attempt_ended(self, attempt: Attempt, status: str, code: str | None) -> None:
        """How the run ended, durably; or why it did not: `parked`, `shutdown`, `fenced`."""

    def tool_began(self, run_id: RunId, call_id: CallId, tool: str) -> None:
        """The body of a tool is about to run for the first time in this attempt at the run."""

    def tool_ended(self, call_id: CallId, status: str, attempts: int) -> None:
        """The call ended as its `tool_completed` says, or is left open (`interrupted`)."""

    def step_began(self, run_id: RunId, key: StepKey) -> None:
        """The function of a `run.step` is about to run."""

    def step_ended(self, run_id: RunId, key: StepKey, status: str) -> None:
        """`ok`, `error` or `cancelled`."""


class SystemClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class StoreClock:
    """The wall clock of the store, where it has one: hosts that share it agree about the time.

    It goes on by this machine's monotonic clock between two looks, so that a wall clock that is
    wrong, or jumps, changes nothing.
    """

    def __init__(self, own: Clock) -> None:
        self._own = own
        self._ahead_ms: float | None = None

    def set(self, now_ms: int | None) -> None:
        """Take over what the store's clock shows now; None: it has none."""
        self._ahead_ms = None if now_ms is None else now_ms - self._own.monotonic() * 1000

    def now_ms(self) -> int:
        if self._ahead_ms is None:
            return self._own.now_ms()
        return round(self._own.monotonic() * 1000 + self._ahead_ms)

    def monotonic(self) -> float:
        return self._own.monotonic()


class SystemIds:
    """UUIDv7 of the machine's clock and the operating system's randomness."""

    def __init__(self) -> None:
        self._random = random.Random(secrets.randbits(256))

    def new(self) -> str:
        return uuid7(time.time_ns() // 1_000_000, self._random.getrandbits(74))

    def mark(self) -> Mark:
        return Mark(secrets.token_urlsafe(9))

    def random(self) -> float:
        return self._random.random()
