"""Engine for a machine without network."""

from app.engine.base import EnginePort


class OfflineEngine(EnginePort):
    def __init__(self, user_id, emitter, timeout=5.0):
        self.user_id = user_id
        self.timeout = timeout
        self.state = "idle"
        self._emitter = emitter

    async def execute(self, message):
        self._emitter.emit("offline", {"event": "agent_completed", "text": message})
        self.state = "done"
        return f"{self.user_id}: {message.strip()}"

    def cancel(self):
        self.state = "cancelled"
        return self.state
