"""Joining pieces to an answer."""

from __future__ import annotations

from goldenpath.model.events import AgentOutput


class Answer:
    """The parts of an answer so far, in the order of their first pieces."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}

    @property
    def text(self) -> str:
        """All parts, joined."""
        return "".join(self._parts.values())

    def add(self, piece: AgentOutput) -> bool:
        """Take a piece; True where it replaced what its part had, so that it must be redrawn."""
        known = self._parts.get(piece.part_id, "")
        kept = "" if piece.restart else known[: piece.offset]
        self._parts[piece.part_id] = kept + piece.text
        return len(kept) < len(known)
