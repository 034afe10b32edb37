"""Turns at fixed times."""

from app.engine.base import BaseEngine
from app.events.kinds import AgentStarted


class CronEngine(BaseEngine):
    def __init__(self, user_id, emitter, timeout=15.0):
        self.user_id = user_id
        self.timeout = timeout
        self.state = "idle"
        self._emitter = emitter

    async def execute(self, message):
        self._emitter.emit("cron", AgentStarted(self.user_id))
        reply = f"{self.user_id}: {message.strip()}"
        self._emitter.emit("agent_completed", reply)
        self.state = "done"
        return reply

    def cancel(self):
        self.state = "cancelled"
        return self.state
