"""What is durable of the store in memory: it survives a simulated crash, and can be copied."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from goldenpath.errors import PositionError
from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import ORIGIN_MARK, CommandId, DeviceId, HostId, Mark, RunId, UserId
from goldenpath.model.projections import Rows
from goldenpath.model.views import RunRow
from goldenpath.store.interface import HostReport, PendingCommand, Position, Refusal


@dataclass
class InboxRow:
    """A command that waits, or was refused for now."""

    command: PendingCommand
    refusal: Refusal | None = None
    refused_ms: int = 0


@dataclass
class UserRecord:
    """Everything that is durable of one user."""

    entries: list[EncodedEntry] = field(default_factory=lambda: [])
    marks: list[tuple[int, Mark]] = field(default_factory=lambda: [])
    """(first seq, mark) of each activation, in order."""
    epoch: int = 0
    holder: HostId | None = None
    last_append: str | None = None
    due_ms: int | None = None
    rows: Rows = field(default_factory=Rows)
    inbox: dict[CommandId, InboxRow] = field(default_factory=lambda: {})
    acks: dict[DeviceId | None, int] = field(default_factory=lambda: {})
    fetched: set[RunId] = field(default_factory=set[RunId])
    notices: dict[RunId, tuple[int, int | None]] = field(default_factory=lambda: {})
    """(attempts, when the next one may be: None for never) of answers that were claimed."""

    @property
    def head(self) -> int:
        return len(self.entries)

    @property
    def mark(self) -> Mark:
        return self.marks[-1][1] if self.marks else ORIGIN_MARK

    def mark_at(self, seq: int) -> Mark:
        """The mark of the activation that wrote entry `seq`."""
        if seq:
            for first, mark in reversed(self.marks):  # it is mostly asked of the newest
                if first <= seq:
                    return mark
        return ORIGIN_MARK

    def check(self, position: Position) -> None:
        """Raise PositionError for what is not a position of this log."""
        mark, cursor = position
        if mark == ORIGIN_MARK and cursor == 0:
            return
        last = self.head
        for first, known in reversed(self.marks):  # as above
            if known == mark and 0 <= cursor <= last:
                return
            last = first - 1
        raise PositionError(f"({mark}, {cursor}) is not a position of this log")


@dataclass
class HostBeat:
    """How often a host has renewed, what it last said, and when (seconds of the event loop)."""

    count: int
    report: HostReport
    started: float
    renewed: float


class Notified(Protocol):
    """Somebody who waits for news of a user, in whichever store on this disk."""

    def notify(self) -> None: ...


class Disk:
    """What survives a crash. `writable` False: the disk is full."""

    def __init__(self) -> None:
        self.users: dict[UserId, UserRecord] = {}
        self.writable = True
        self.hosts: dict[HostId, HostBeat] = {}
        self.told: dict[object, Callable[[UserId | None], None]] = {}
        """Whom to tell of commands and of demand, by their stores."""
        self.watches: dict[UserId, dict[Notified, None]] = {}

    def user(self, user: UserId) -> UserRecord:
        return self.users.get(user) or UserRecord()

    def head(self, user: UserId) -> int:
        record = self.users.get(user)
        return 0 if record is None else record.head

    def log(self, user: UserId) -> list[EncodedEntry]:
        return self.user(user).entries

    def open_runs(self, user: UserId) -> list[RunRow]:
        rows = (row for row in self.user(user).rows.runs.values() if row.open)
        return sorted(rows, key=lambda row: row.first_seq)


_backups: dict[str, Disk] = {}


def keep_backup(target: Path, disk: Disk) -> None:
    """Copy the disk under the target's name: there are no files here."""
    _backups[str(target)] = deepcopy(disk)


def restored(target: Path) -> Disk:
    """The disk that `keep_backup` copied."""
    return deepcopy(_backups[str(target)])
