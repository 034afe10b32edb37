"""What can be read of a store: by the process that serves, and by one that looks on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from goldenpath.model.commands import Receipt
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import ApprovalId, CommandId, RunId, Seq, ThreadId, UserId
from goldenpath.model.views import ApprovalRow, RunRow, ThreadRow
from goldenpath.store.interface import (
    Batch,
    Found,
    History,
    PendingCommand,
    Position,
    Refusal,
    UndeliveredAnswer,
)
from goldenpath.store.sqlite import log, rows
from goldenpath.store.sqlite.memory import UserState
from goldenpath.store.sqlite.queries import list_users
from goldenpath.store.sqlite.threads import Readers

_ENTRY_BYTES = 4 * 1024 * 1024
"""About what one call of `entries` gives at most."""


class Used(NamedTuple):
    """A user's state, and readers whose snapshots are not older."""

    state: UserState
    readers: Readers


class All(NamedTuple):
    """States of the users whose rows differ from the settled ones, and readers."""

    states: list[UserState]
    readers: Readers


class Reads(ABC):
    """The reading half of `Store`; see its clauses."""

    @abstractmethod
    def _use(self, user: UserId) -> AbstractAsyncContextManager[Used]: ...

    @abstractmethod
    def _use_all(self) -> AbstractAsyncContextManager[All]: ...

    @abstractmethod
    async def _find_receipt(
        self, state: UserState, readers: Readers, command_id: str
    ) -> Receipt | None: ...

    async def pending(self, user: UserId) -> list[PendingCommand]:
        """See clause S3."""
        async with self._use(user) as (state, _):
            return [
                PendingCommand(CommandId(command_id), item.body, item.body_hash)
                for command_id, item in state.inbox.items()
                if item.error is None
            ]

    async def outcome(self, user: UserId, command_id: CommandId) -> Receipt | Refusal | None:
        """See `Store.outcome`."""
        async with self._use(user) as (state, readers):
            item = state.inbox.get(command_id)
            if item is not None:
                return None if item.error is None else Refusal(command_id, item.error)
            return await self._find_receipt(state, readers, command_id)

    async def read(
        self, user: UserId, position: Position, limit: int = 1000, max_bytes: int = 1 << 20
    ) -> Batch:
        """See clauses R."""
        async with self._use(user) as (state, readers):
            return await log.read(state, readers, position, limit, max_bytes)

    async def entries(
        self, user: UserId, after: Seq, limit: int = 1000
    ) -> tuple[int, list[EncodedEntry]]:
        """See `Store.entries`."""
        async with self._use(user) as (state, readers):
            found = await log.find(state, readers, after, limit, _ENTRY_BYTES)
            return found.codec or state.codec, found.entries

    async def head(self, user: UserId) -> Position:
        """See `Store.head`."""
        async with self._use(user) as (state, readers):
            return await log.position_at(state, readers, state.head)

    # Projections

    async def threads(
        self, user: UserId, limit: int, before: tuple[int, ThreadId] | None
    ) -> list[ThreadRow]:
        """See `Store.threads`."""
        async with self._use(user) as (state, readers):
            return await rows.threads(state, readers, limit, before)

    async def thread(self, user: UserId, thread_id: ThreadId) -> ThreadRow | None:
        """See clause P2."""
        async with self._use(user) as (state, readers):
            return await rows.thread(state, readers, thread_id)

    async def history(
        self, user: UserId, thread_id: ThreadId, limit: int, before: Seq | None
    ) -> History | None:
        """See `Store.history`."""
        async with self._use(user) as (state, readers):
            return await rows.history(state, readers, thread_id, limit, before)

    async def run(self, user: UserId, run_id: RunId) -> RunRow | None:
        """See clause P2."""
        async with self._use(user) as (state, readers):
            return await rows.run(state, readers, run_id)

    async def runs(
        self, user: UserId | None, status: str | None, limit: int
    ) -> list[tuple[UserId, RunRow]]:
        """See `Store.runs`."""
        if user is None:
            async with self._use_all() as (states, readers):
                return await rows.runs(states, readers, status, limit)
        async with self._use(user) as (state, readers):
            found = await rows.runs_of_user(state, readers, status, limit)
            return [(user, row) for row in found]

    async def approval(self, user: UserId, approval_id: ApprovalId) -> ApprovalRow | None:
        """See clause P2."""
        async with self._use(user) as (state, readers):
            return await rows.approval(state, readers, approval_id)

    async def search(self, user: UserId, words: Sequence[str], limit: int) -> list[Found]:
        """See `Store.search`."""
        async with self._use(user) as (state, readers):
            return await rows.search(state, readers, words, limit)

    async def undelivered(self, limit: int = 1000) -> list[UndeliveredAnswer]:
        """See clause K2."""
        async with self._use_all() as (states, readers):
            return await rows.undelivered(states, readers, limit)

    async def users(self, after: UserId | None = None, limit: int = 1000) -> list[UserId]:
        """See `Store.users`."""
        async with self._use_all() as (states, readers):
            known = await readers.run(lambda c: list_users(c, after or "", limit))
            new = [state.user for state in states if state.group and state.user > (after or "")]
            return sorted({*known, *new})[:limit]
