"""The client: sends commands, follows the user's log, and survives what happens to its socket."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Literal, NamedTuple, Self

import httpx

from goldenpath.client.backoff import Backoff, Clock, SystemClock
from goldenpath.client.connection import Connection, State, stopped
from goldenpath.client.cursor import Counts, Position, Reader
from goldenpath.client.feed import Feed
from goldenpath.client.http import Api, History, base_url
from goldenpath.client.outbox import Outbox
from goldenpath.client.tokens import Tokens, TokenSource
from goldenpath.errors import InvalidError, RefusedError, StoppedError
from goldenpath.model.commands import WhenBusy
from goldenpath.model.entries import Entry
from goldenpath.model.events import AgentCompleted, AgentStarted
from goldenpath.model.ids import is_client_id
from goldenpath.wire.frames import (
    Accepted,
    CancelFrame,
    CommandFrame,
    DecideFrame,
    SendFrame,
    Welcome,
)

_REMEMBERED = 1000
"""Runs whose first seq is remembered, so that `run` knows whether it has them whole."""


class Sent(NamedTuple):
    """A message that the server has durably: `run_id` is what `Client.run` takes."""

    id: str
    thread_id: str
    message_id: str
    run_id: str
    seq: int | None
    duplicate: bool


class Client:
    """A user's connection to a goldenpath server, at `url` (`http://` or `https://`).

    `token` is a JWT, or an async function that gives a fresh one whenever it is asked: only with
    the latter can the client renew. `position` resumes where another client stopped reading;
    without, reading begins at the head. A `device` that stays the same over restarts gives the
    server one receipt a device; without, it is a new one.

    Commands wait while there is no connection and go out, under the same ids, when it is back;
    they raise `RefusedError` with the protocol's code, or `StoppedError` once the client has
    stopped for good. An answer that may or may not have been taken is asked for again by itself.

    If the server's log turns out to be another one (a restored backup), what was read is void:
    `on_reset` is called, to load the history again by HTTP, before anything of the new log is
    given, and iterators of runs raise `ResetError`. Without `on_reset`, `follow` raises it too.
    `on_state` hears of every change of the connection, with a reason.
    """

    def __init__(
        self,
        url: str,
        token: str | TokenSource,
        *,
        device: str | None = None,
        position: Position | None = None,
        on_reset: Callable[[], Awaitable[None]] | None = None,
        on_state: Callable[[State, str], None] | None = None,
        clock: Clock | None = None,
        rand: Callable[[], float] = random.random,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        device = new_id() if device is None else device
        if not is_client_id(device):
            raise InvalidError(f"device: {device!r} is not of the form [A-Za-z0-9_-]{{1,64}}")
        url = base_url(url)
        self._new_id = new_id
        self._rand = rand
        self._clock = clock or SystemClock()
        self._tell = on_state
        self._reload = on_reset
        self._tokens = Tokens(token)
        self._reader = Reader(position)
        self._outbox = Outbox()
        self._feed = Feed()
        self._followed = -1
        self._runs: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None
        self.state: State = "closed"
        self.http = Api(url, self._tokens)
        self._connection = Connection(
            url,
            device,
            self._tokens,
            reader=self._reader,
            outbox=self._outbox,
            feed=self._feed,
            clock=self._clock,
            backoff=Backoff(rand=rand),
            on_state=self._change,
            on_reset=self._reset,
        )

    @property
    def position(self) -> Position | None:
        """Up to where the log was read; give it to another client to go on from there."""
        return self._reader.position

    @property
    def counts(self) -> Counts:
        """What the reader met: frames, events, repeats, violations, resets."""
        return self._reader.counts

    @property
    def unanswered(self) -> list[CommandFrame]:
        """Commands without an answer, oldest first; send them again under their ids."""
        return self._outbox.unanswered

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run(), name="goldenpath client")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection; what was not answered ends with `StoppedError`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.http.__aexit__(None, None, None)

    async def connected(self) -> Welcome:
        """Wait for a welcomed connection. Raises `StoppedError`."""
        while not self._connection.welcomed.is_set():
            self._check()
            waiting = asyncio.ensure_future(self._connection.welcomed.wait())
            assert self._task is not None
            try:
                await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                waiting.cancel()
        assert self._connection.welcome is not None
        return self._connection.welcome

    async def send(
        self,
        text: str,
        *,
        thread_id: str | None = None,
        agent: str | None = None,
        when_busy: WhenBusy = "queue",
        id: str | None = None,
    ) -> Sent:
        """Ask an agent; return once that is durable. `thread_id` None begins a new thread.

        An `id` that the application keeps makes the message the same one over its restarts.
        """
        frame = SendFrame(
            id=id or self._new_id(),
            thread_id=thread_id,
            text=text,
            agent=agent,
            when_busy=when_busy,
        )
        answer = await self._command(frame)
        if answer.thread_id is None or answer.message_id is None or answer.run_id is None:
            raise StoppedError("protocol", f"the server accepted {frame.id} without its ids")
        if answer.seq is not None:
            self._runs[answer.run_id] = answer.seq
            if len(self._runs) > _REMEMBERED:
                del self._runs[next(iter(self._runs))]
        return Sent(
            answer.id,
            answer.thread_id,
            answer.message_id,
            answer.run_id,
            answer.seq,
            answer.duplicate,
        )

    async def cancel(self, run_id: str, *, id: str | None = None) -> None:
        """Ask for a run's end; it ends with its `agent_completed`."""
        await self._command(CancelFrame(id=id or self._new_id(), run_id=run_id))

    async def decide(
        self,
        approval_id: str,
        decision: Literal["approve", "deny"],
        *,
        reason: str | None = None,
        id: str | None = None,
    ) -> None:
        """Answer an approval."""
        await self._command(
            DecideFrame(
                id=id or self._new_id(), approval_id=approval_id, decision=decision, reason=reason
            )
        )

    def ack(self, cursor: int) -> None:
        """Tell the server that this device has everything up to the event of seq `cursor`."""
        self._connection.ack(cursor)

    async def follow(
        self, *, after: int | None = None, history: History | None = None
    ) -> AsyncIterator[Entry]:
        """Every event of the user, in order, once, without an end.

        It goes on where the last `follow` stopped, at first where reading began, or after the
        event of seq `after`; of what nobody follows, the last 10,000 events are kept. `history`
        leaves out the events that a history already showed.
        """
        follower = self._feed.follow(
            after=self._followed if after is None else after, ends_on_reset=self._reload is None
        )
        with contextlib.closing(follower):
            while (entry := await follower.next()) is not None:
                self._followed = max(self._followed, entry.seq)
                if history is None or entry.seq > history.as_of:
                    yield entry

    async def run(self, run_id: str) -> AsyncIterator[Entry]:
        """The events of a run and its child runs, from its first to its `agent_completed`.

        What came before this client's time is read by HTTP; a child's events from before are not.
        Raises `RefusedError` (`not_found`) for a run that is not this user's.
        """
        follower = self._feed.follow(after=-1, ends_on_reset=True)
        with contextlib.closing(follower):
            known = {run_id}
            after = -1
            if not self._whole(run_id):
                for entry in await self._past(run_id):
                    after = entry.seq
                    yield entry
                    if isinstance(entry.body, AgentCompleted):
                        return
            while (entry := await follower.next()) is not None:
                if isinstance(entry.body, AgentStarted) and entry.body.parent_run_id in known:
                    known.add(str(entry.run_id))
                if entry.run_id not in known or (entry.run_id == run_id and entry.seq <= after):
                    continue
                yield entry
                if entry.run_id == run_id and isinstance(entry.body, AgentCompleted):
                    return

    async def result(self, run_id: str) -> AgentCompleted:
        """Wait for a run's end."""
        async for entry in self.run(run_id):
            if isinstance(entry.body, AgentCompleted) and entry.run_id == run_id:
                return entry.body
        raise StoppedError("closed", "the client was closed before the run ended")

    async def _past(self, run_id: str) -> list[Entry]:
        """What a run's events were so far, once a server tells them."""
        backoff = Backoff(rand=self._rand)
        while True:
            await self.connected()
            try:
                return await self.http.run_events(run_id)
            except httpx.TransportError:
                pass
            except RefusedError as error:
                if not error.retryable:
                    raise
            await self._clock.sleep(backoff.next())

    def _whole(self, run_id: str) -> bool:
        """True where the feed has the run from its first event, or will."""
        seq, floor = self._runs.get(run_id), self._feed.floor
        return seq is not None and floor is not None and seq > floor

    async def _command(self, frame: CommandFrame) -> Accepted:
        self._check()
        if not is_client_id(frame.id):
            raise InvalidError(f"id: {frame.id!r} is not of the form [A-Za-z0-9_-]{{1,64}}")
        answer = self._outbox.add(frame)
        self._connection.wake()
        self._feed.taken()  # reading goes on while an answer is awaited, lag or not
        try:
            return await asyncio.shield(answer)
        except asyncio.CancelledError:
            self._outbox.withdraw(frame.id)
            raise

    def _check(self) -> None:
        if self._task is None:
            raise StoppedError("closed", "use the client inside `async with`")
        if self._feed.closed:
            raise self._feed.error or StoppedError("closed", "the client was closed")

    async def _run(self) -> None:
        error: Exception | None = None
        try:
            await self._connection.run()
        except Exception as failure:
            error = stopped(failure)
        finally:
            self._feed.close(error)
            self._outbox.fail(error or StoppedError("closed", "the client was closed"))
            self._change("closed", "" if error is None else str(error))

    async def _reset(self) -> None:
        self._followed = -1
        if self._reload is not None:
            await self._reload()

    def _change(self, state: State, reason: str) -> None:
        self.state = state
        if self._tell is not None:
            self._tell(state, reason)
