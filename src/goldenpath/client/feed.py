"""Events read, kept until everybody who follows has taken them."""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections import deque

from goldenpath.errors import ResetError
from goldenpath.model.entries import Entry

KEPT = 10_000
"""Events kept for followers to come, and that a follower may lag before reading pauses."""


class Follower:
    """Somebody's place in a feed. One that is dropped holds nothing back."""

    def __init__(self, feed: Feed, place: int, *, ends_on_reset: bool) -> None:
        self._feed = feed
        self._resets = feed.resets
        self._ends_on_reset = ends_on_reset
        self.place = place

    async def next(self) -> Entry | None:
        """The next event; None once the feed has closed without an error.

        Raises `ResetError`, or what the client stopped with.
        """
        while True:
            if self._ends_on_reset and self._resets != self._feed.resets:
                raise ResetError("the server's log was replaced; load the history again")
            entry = self._feed.at(self.place)
            if entry is not None:
                self.place += 1
                self._feed.taken()
                return entry
            if self._feed.closed:
                if self._feed.error is not None:
                    raise self._feed.error
                return None
            await self._feed.changed()

    def close(self) -> None:
        """Hold nothing back any more."""
        self._feed.leave(self)


class Feed:
    """A window on the log, from `floor` on. Places count the events ever pushed."""

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._events: deque[Entry] = deque()
        self._first = 0
        self._floor: int | None = None
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self.resets = 0
        self.closed = False
        self.error: Exception | None = None

    @property
    def end(self) -> int:
        """The place of the next event."""
        return self._first + len(self._events)

    @property
    def floor(self) -> int | None:
        """Everything after this seq that was read is here; None before the first welcome."""
        return self._floor

    def begin(self, cursor: int) -> None:
        """Reading begins after `cursor`; what is here stays for those who have not taken it."""
        self._floor = cursor if self._floor is None else self._floor

    def push(self, events: list[Entry]) -> None:
        """Add what was read."""
        self._events.extend(events)
        self._trim()
        if events:
            self._wake()

    def reset(self, cursor: int) -> None:
        """Drop everything; reading begins again after `cursor`."""
        self._first = self.end
        self._events.clear()
        self._floor = cursor
        self.resets += 1
        for follower in self._followers:
            follower.place = self._first
        self._wake()
        self._taken.set()

    def close(self, error: Exception | None) -> None:
        """Nothing will come any more."""
        self.closed = True
        self.error = error
        self._wake()

    def follow(self, *, after: int | None, ends_on_reset: bool) -> Follower:
        """Take part, from the first event after seq `after` that is here, or from the next one."""
        place = self.end
        if after is not None:
            older = itertools.takewhile(lambda entry: entry.seq <= after, self._events)
            place = self._first + sum(1 for _ in older)
        follower = Follower(self, place, ends_on_reset=ends_on_reset)
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Take part no more."""
        self._followers.discard(follower)
        self.taken()

    def at(self, place: int) -> Entry | None:
        """The event at a place; None where it has not come yet."""
        index = place - self._first
        return self._events[index] if index < len(self._events) else None

    def taken(self) -> None:
        """A follower went on."""
        self._taken.set()

    async def changed(self) -> None:
        """Wait until something came."""
        await self._arrived.wait()

    @property
    def full(self) -> bool:
        """True while somebody lags so far that more should not be read."""
        return any(self.end - follower.place >= self._kept for follower in self._followers)

    async def room(self) -> None:
        """Wait until a follower went on."""
        self._taken.clear()
        if self.full:
            await self._taken.wait()

    def _wake(self) -> None:
        self._arrived.set()
        self._arrived = asyncio.Event()

    def _trim(self) -> None:
        slowest = min((follower.place for follower in self._followers), default=self.end)
        while len(self._events) > self._kept and self._first < slowest:
            self._floor = self._events.popleft().seq
            self._first += 1
