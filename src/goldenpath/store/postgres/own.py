"""What a host knows of a log that it writes itself: its rows, and a tail for its readers."""

from __future__ import annotations

from collections.abc import Sequence

from goldenpath.model.entries import EncodedEntry
from goldenpath.model.ids import Mark, Seq, UserId
from goldenpath.store.chunks import bounded
from goldenpath.store.interface import Batch, Position
from goldenpath.store.postgres.rows import Changes, KnownRows

_TAIL_BYTES = 256 * 1024
"""Of what this host wrote itself, for readers near the head; for each user with an engine here."""


class OwnLog:
    """What this host knows of a user whose log it writes; valid while its appends are accepted."""

    def __init__(self, user: UserId, user_no: int, mark: Mark, head: int) -> None:
        self.user = user
        self.user_no = user_no
        self.mark = mark
        self.head = head
        self.rows = KnownRows()
        self._tail: list[EncodedEntry] = []
        self._tail_bytes = 0

    def accepted(self, entries: Sequence[EncodedEntry], changes: Changes, *, anew: bool) -> None:
        """Take over an append that is durable."""
        self.rows.apply(changes, anew=anew)
        if entries:
            self.head = entries[-1].seq
            self._tail += entries
            self._tail_bytes += sum(len(entry.json) for entry in entries)
            if self._tail_bytes > 2 * _TAIL_BYTES:
                self._shorten()

    def _shorten(self) -> None:
        kept = 0
        for count, entry in enumerate(reversed(self._tail)):
            kept += len(entry.json)
            if kept > _TAIL_BYTES:
                del self._tail[: len(self._tail) - count]
                break
        self._tail_bytes = sum(len(entry.json) for entry in self._tail)

    def forget_tail(self) -> None:
        """Something in the log was erased or pruned."""
        self._tail.clear()
        self._tail_bytes = 0

    def read(self, position: Position, limit: int, max_bytes: int) -> Batch | None:
        """`Store.read` where the tail holds all of it; None where it does not."""
        mark, cursor = position
        if not self._tail:  # nothing was written here yet: the database knows what the log is
            return None
        first = self._tail[0].seq
        if mark != self.mark or not first - 1 <= cursor <= self.head:
            return None
        entries = bounded(self._tail[cursor + 1 - first :][:limit], max_bytes)
        return batch_of(position, entries, mark, self.head)


def batch_of(position: Position, entries: Sequence[EncodedEntry], mark: Mark, head: int) -> Batch:
    """The entries that follow a position, as a reader gets them."""
    if not entries:
        return Batch(position.mark, position.cursor, position.cursor, 0, [], False)
    to = entries[-1].seq
    events = [entry.json for entry in entries if not entry.internal and entry.json]
    return Batch(mark, position.cursor, Seq(to), len(entries) - len(events), events, to < head)
