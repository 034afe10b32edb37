"""Plans and runs the steps of a task."""

from app.planning import Effort, weight


class Planner:
    def __init__(self, user_id, emitter):
        self.user_id = user_id
        self.budget = weight(Effort.LARGE)
        self._emitter = emitter

    async def execute(self, message):
        for step in message.split(".")[: self.budget]:
            self._emitter.emit("agent_thinking", step)
        return message

    def cancel(self):
        self.budget = 0
