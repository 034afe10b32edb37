"""Conducts the turns of a day."""

from app.engine.steps import TurnKernel


class Conductor:
    def __init__(self, user_id, emitter):
        self.user_id = user_id
        self.state = "idle"
        self._emitter = emitter
        self._kernel = TurnKernel()

    async def execute(self, message):
        await self._kernel.execute(message)
        self._emitter.emit("agent_thinking", message)
        self.state = "done"
        return f"{self.user_id}: {message.strip()}"

    def cancel(self):
        self._kernel.cancel()
        self.state = "cancelled"
        return self.state


def plan_turn(message, width=40):
    return message.strip()[:width]
