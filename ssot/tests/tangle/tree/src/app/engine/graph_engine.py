"""Engine that walks a graph."""

from app.engine.base import BaseEngine
from app.events.kinds import AgentNotifier

GRAPHS = {"default": ("draft",), "review": ("draft", "check")}


class GraphEngine(BaseEngine):
    def __init__(self, user_id, emitter, graph="default"):
        self.user_id = user_id
        self.state = "idle"
        self.nodes = GRAPHS[graph]
        self._notifier = AgentNotifier(emitter)
        self._marks = []

    async def execute(self, message):
        self._notifier.notify_agent_started(self.user_id)
        for node in self.nodes:
            self._notifier.notify_tool_executing(node)
            self._marks.append(node)
        self._notifier.notify_agent_completed(self.user_id)
        self.state = "done"
        return f"{self.user_id}: {message.strip()}"

    def cancel(self):
        self.state = "cancelled"
        return self.state

    def close(self, reason):
        self.state = reason

    def checkpoint(self):
        return len(self._marks)
