"""Engine for many messages."""

from app.engine.steps import StepEngine
from app.events.kinds import AgentEvent, ToolCompleted


class BatchEngine:
    def __init__(self, user_id, emitter, timeout=60.0):
        self.user_id = user_id
        self.timeout = timeout
        self.state = "idle"
        self.seen = 0
        self._emitter = emitter
        self._steps = StepEngine(user_id)

    async def execute(self, message):
        self.seen += 1
        self._emitter.emit(AgentEvent.AGENT_STARTED, self.seen)
        reply = self._steps.reply(message)
        self._emitter.emit("batch", ToolCompleted(reply))
        self._emitter.emit("batch", {"event": AgentEvent.AGENT_COMPLETED, "reply": reply})
        self.state = "done"
        return reply

    def cancel(self):
        self.state = "cancelled"
        self.seen = 0
        return self.state
