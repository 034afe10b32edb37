"""Engine of one user."""

from app.engine.base import BaseEngine, EngineError
from app.engine.steps import StepEngine, TurnKernel
from app.events.kinds import AgentEvent

DEFAULT_TIMEOUT = 30.0


class UserEngine(BaseEngine):
    def __init__(self, user_id, emitter, timeout=DEFAULT_TIMEOUT):
        self.user_id = user_id
        self.timeout = timeout
        self.state = "idle"
        self._emitter = emitter
        self._steps = StepEngine(user_id)
        self._kernel = TurnKernel()

    async def execute(self, message):
        if not message:
            raise EngineError("empty message")
        self._emitter.emit(AgentEvent.AGENT_STARTED, self.user_id)
        self._emitter.emit(AgentEvent.AGENT_THINKING, message)
        turn = await self._kernel.execute(message)
        self._emitter.emit("tool_executing", turn)
        reply = self._steps.reply(message)
        self._emitter.emit("tool_completed", turn)
        self._emitter.emit(kind=AgentEvent.AGENT_COMPLETED, payload=reply)
        self.state = "done"
        return reply

    def cancel(self):
        self._kernel.cancel()
        self.state = "cancelled"
        return self.state

    def resume(self, token):
        self.state = "idle"
        return token

    def close(self):
        self._emitter.flush()
        self.state = "closed"

    def with_timeout(self, timeout):
        return type(self)(self.user_id, self._emitter, timeout)

    @classmethod
    def for_guest(cls, emitter):
        return cls("guest", emitter)
