"""One process of a crash test: it runs an agent up to its answer, or until it kills itself.

Whatever must outlive it is written to a file at once: what the agent's code asked for and from
which line, and which bodies of tools were entered. The log is in a store as in production.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable
from pathlib import Path
from types import FrameType
from typing import Any, Literal, cast

import msgspec

import goldenpath
from goldenpath.compose.loading import load_app
from goldenpath.compose.stores import open_store
from goldenpath.engine.host import EngineHost
from goldenpath.engine.ports import Observer
from goldenpath.model.commands import Decide, Send
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import ORIGIN_MARK, CommandId, RunId, Seq, UserId
from goldenpath.model.journal import StepKey
from goldenpath.store.interface import Append, Position, Store
from goldenpath.testing.clock import FakeClock

USER = UserId("crash-test")
NOTES = "notes.jsonl"
OUTPUT = "output.txt"
_PACKAGE = str(Path(goldenpath.__file__).parent)
_DEMO = str(Path(goldenpath.__file__).parent / "demo")
_LOOK_SECONDS = 0.02


When = Literal["before", "after"]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a process is to do. `die_at` is the seq of an entry."""

    target: str
    agent: str
    message: str
    folder: str
    die_at: int | None = None
    die: When = "before"


class Asked(msgspec.Struct, frozen=True, tag="asked"):
    """The agent's code asked for a step; `recorded` if its result came from the journal."""

    run_id: str
    attempt: int
    scope: str
    name: str
    arguments: str
    occurrence: int
    recorded: bool
    line: str | None


class Entered(msgspec.Struct, frozen=True, tag="entered"):
    """The code of a tool or of a step's function began."""

    name: str
    arguments: str


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The run's end, and its log: (seq, type, what it is about)."""

    status: str
    output: str
    error: str | None
    message: str | None
    entries: list[tuple[int, str, str]]
    interrupted: list[str]
    """Tools of which it is not known whether they ran."""
    rewritten: bool
    """True if text that was shown was replaced."""


class Died(msgspec.Struct, frozen=True, tag="died"):
    """The process is about to kill itself."""


Note = Asked | Entered | Ended | Died
_encode = msgspec.json.Encoder().encode


class Notes(Observer):
    """Writes down what happens, in a way that survives the process."""

    def __init__(self, folder: Path) -> None:
        self._file = os.open(folder / NOTES, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, note: Note) -> None:
        os.write(self._file, _encode(note) + b"\n")

    def step_asked(self, run_id: RunId, attempt: int, key: StepKey, recorded: bool) -> None:
        self.write(
            Asked(run_id, attempt, key.scope, key.name, key.arguments, key.occurrence, recorded,
                  _line())
        )  # fmt: skip

    def body_entered(self, run_id: RunId, key: StepKey) -> None:
        self.write(Entered(key.name, key.arguments))


class DyingStore:
    """Ends the process right before or right after the append that has a certain entry."""

    def __init__(self, store: Store, order: Order, notes: Notes) -> None:
        self._store = store
        self._order = order
        self._notes = notes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def append(self, append: Append) -> Awaitable[None]:
        """See `Store.append`."""
        hit = any(entry.seq == self._order.die_at for entry in append.entries)
        if hit and self._order.die == "before":
            self._die()
        return self._append(append, hit)

    async def _append(self, append: Append, hit: bool) -> None:
        await self._store.append(append)
        if hit:
            self._die()

    def _die(self) -> None:
        self._notes.write(Died())
        os.kill(os.getpid(), signal.SIGKILL)


def run_process(order: Order) -> None:
    """Do what the order says. What the agent prints goes to a file."""
    folder = Path(order.folder)
    output = os.open(folder / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (1, 2):
        os.dup2(output, stream)
    sys.set_coroutine_origin_tracking_depth(8)  # tells the line of what is gathered
    asyncio.run(_run(order, folder))


async def _run(order: Order, folder: Path) -> None:
    app = load_app(order.target)
    notes = Notes(folder)
    clock = FakeClock(time.time_ns() // 1_000_000)
    limits = msgspec.structs.replace(app.load_settings().limits, park_seconds=0.02)
    store = await open_store(f"sqlite:///{folder / 'store.db'}", "process")
    try:
        host = EngineHost(
            cast("Store", DyingStore(store, order, notes)),
            app.agents,
            limits=limits,
            clock=clock,
            observer=notes,
        )
        clock.watch(lambda: host.wake(USER))
        async with host.running():
            send = Send(text=order.message, agent=order.agent)
            settled = await host.submit(USER, CommandId("crash-test"), send)
            run_id = settled.receipt.run_id
            assert run_id is not None
            ended = await _End(host, clock, run_id).wait()
        # Now the last append has returned: a crash right after it comes before this note.
        notes.write(ended)
    finally:
        await store.close()


class _End:
    """Follows a run to its end; approves what it asks, and lets durable waits pass at once."""

    def __init__(self, host: EngineHost, clock: FakeClock, run_id: RunId) -> None:
        self._host = host
        self._store = host.store
        self._clock = clock
        self._run_id = run_id
        self._open: dict[str, bool] = {}
        """Approvals that nobody decided, and what to say."""

    async def wait(self) -> Ended:
        position = Position(ORIGIN_MARK, Seq(0))
        watch = self._store.watch(USER)
        while True:
            batch = await self._store.read(USER, position)
            position = Position(batch.mark, batch.to)
            for raw in batch.events:
                event = msgspec.json.decode(raw)
                self._note(event)
                if event["type"] == "agent_completed" and event["run_id"] == self._run_id:
                    return await self._ended(event["data"])
            if not batch.more:
                await self._decide()
                await self._let_pass()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_LOOK_SECONDS):
                        await watch.wait()

    def _note(self, event: dict[str, Any]) -> None:
        data = event["data"]
        if event["type"] == "approval_requested":
            # Asked whether to run again what may have run already: no.
            again = data.get("call_id") is not None and data.get("prompt") is not None
            self._open[data["approval_id"]] = not again
        elif event["type"] == "approval_resolved":
            self._open.pop(data["approval_id"], None)

    async def _decide(self) -> None:
        for approval_id, yes in list(self._open.items()):
            decide = Decide(
                approval_id=cast("Any", approval_id), decision="approve" if yes else "deny"
            )
            try:
                await self._host.submit(USER, CommandId(f"decide-{approval_id}"), decide)
            except goldenpath.RefusedError as error:
                if error.retryable:
                    continue  # with the next look
            self._open.pop(approval_id, None)

    async def _let_pass(self) -> None:
        due = await self._store.next_due()
        if due is not None and due > self._clock.now_ms():
            self._clock.advance((due - self._clock.now_ms()) / 1000)

    async def _ended(self, data: dict[str, Any]) -> Ended:
        entries = await self._all_entries()
        decoded = [msgspec.json.decode(e.json) for e in entries if e.json]
        error: dict[str, Any] = data.get("error") or {}
        return Ended(
            status=data["status"],
            output=data["output"],
            error=error.get("code"),
            message=_failure(decoded) or error.get("message"),
            entries=[(e["seq"], e["type"], _about(e["data"])) for e in decoded],
            interrupted=[
                e["data"]["tool"]
                for e in decoded
                if e["type"] == "tool_completed" and e["data"]["status"] == "interrupted"
            ],
            rewritten=any(
                e["type"] == "agent_output" and e["data"].get("restart") for e in decoded
            ),
        )

    async def _all_entries(self) -> list[EncodedEntry]:
        found: list[EncodedEntry] = []
        while True:
            _, page = await self._store.entries(USER, Seq(len(found)))
            if not page:
                return found
            found += page


def _failure(entries: list[dict[str, Any]]) -> str | None:
    """The last line of the stack that only operators see."""
    details = [e["data"]["detail"] for e in entries if e["type"] == "run_failure"]
    return details[-1].strip().splitlines()[-1] if details else None


def _about(data: dict[str, Any]) -> str:
    """What an entry is about: a tool, a step, the beginning of a text."""
    key: dict[str, Any] | None = data.get("key")
    about = data.get("tool") or data.get("text") or "" if key is None else key["name"]
    return " ".join(str(about).split())[:40]


def _line() -> str | None:
    """`file:line` of the user's code that is asking."""
    frame: FrameType | None = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return f"{_short(frame.f_code.co_filename)}:{frame.f_lineno}"
        frame = frame.f_back
    task = asyncio.current_task()
    origin: Any = None if task is None else getattr(task.get_coro(), "cr_origin", None)
    for file, line, _ in origin or ():
        if _is_users(file):
            return f"{_short(file)}:{line}"
    return None


def _is_users(file: str) -> bool:
    if file.startswith(_PACKAGE):
        return file.startswith(_DEMO)
    return os.sep in file and not file.startswith(_LIBRARY) and "site-packages" not in file


def _short(file: str) -> str:
    here = Path.cwd()
    path = Path(file)
    return str(path.relative_to(here)) if path.is_relative_to(here) else path.name


_LIBRARY = str(Path(asyncio.__file__).parent.parent)
"""Where the standard library is."""
