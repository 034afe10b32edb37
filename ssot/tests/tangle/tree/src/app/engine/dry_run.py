"""Turns without a model."""

from app.engine.base import EnginePort


class DryRunEngine(EnginePort):
    def __init__(self, user_id, emitter):
        self.user_id = user_id
        self.state = "idle"
        self._emitter = emitter

    async def execute(self, message):
        self.state = "done"
        self._emitter.emit("dry", message)
        return f"{self.user_id}: {message.strip()}"

    def cancel(self):
        self.state = "cancelled"
        return self.state
