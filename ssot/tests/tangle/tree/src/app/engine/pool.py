"""Engines that share a pool."""

from app.engine.steps import StepEngine


class PooledEngine:
    size = 4

    def __init__(self, user_id, emitter):
        self.user_id = user_id
        self._emitter = emitter
        self._slots = [StepEngine(user_id) for _ in range(self.size)]

    async def execute(self, message):
        slot = self._slots[len(message) % self.size]
        self._emitter.emit("agent_started", self.user_id)
        return slot.reply(message)

    def cancel(self):
        self._slots.clear()
        return "cancelled"
