"""Engine with a queue in front of it."""

from collections import deque

from .base import BaseEngine
from .steps import StepEngine


class QueueEngine(BaseEngine):
    def __init__(self, user_id, emitter, timeout=10.0, depth=16):
        self.user_id = user_id
        self.timeout = timeout
        self.state = "idle"
        self._emitter = emitter
        self._waiting = deque(maxlen=depth)
        self._steps = StepEngine(user_id)

    async def execute(self, message):
        self._waiting.append(message)
        self._emitter.emit("agent_started", self.user_id)
        reply = self._steps.reply(self._waiting.popleft())
        self._emitter.emit("agent_completed", reply)
        self.state = "done"
        return reply

    def cancel(self):
        self._waiting.clear()
        self.state = "cancelled"
        return self.state
