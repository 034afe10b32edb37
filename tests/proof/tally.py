"""What a reader saw, compared with the log: lost, repeated, reordered, misdelivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass
class Tally:
    """Counts of events; all but the first must be zero."""

    delivered: int = 0
    lost: int = 0
    repeated: int = 0
    reordered: int = 0
    misdelivered: int = 0

    def add(self, seen: Sequence[dict[str, Any]], log: Sequence[dict[str, Any]]) -> None:
        """Count one reader's events, as they came, against its user's log."""
        own = {event["seq"]: event for event in log}
        seqs = [event["seq"] for event in seen]
        self.delivered += len(seqs)
        self.lost += len(own.keys() - set(seqs))
        self.repeated += len(seqs) - len(set(seqs))
        self.reordered += sum(after < before for before, after in zip(seqs, seqs[1:], strict=False))
        self.misdelivered += sum(own.get(event["seq"]) != event for event in seen)

    @property
    def clean(self) -> bool:
        """True if every event came once, in order, to the right reader."""
        return not (self.lost or self.repeated or self.reordered or self.misdelivered)
