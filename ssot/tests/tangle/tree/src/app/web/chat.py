"""Chat."""

from app.engine.queue_engine import QueueEngine
from app.ids import next_id

HANDLERS = {"agent_started": "spinner", "agent_completed": "reply"}


class ChatService:
    """Chats through app.engine.user_engine and what it emits."""

    from app.events.emitter import DEFAULT_SOURCE as source

    def __init__(self, emitter):
        self._emitter = emitter
        self.turns = []

    async def answer(self, user_id, text):
        engine = QueueEngine(user_id, self._emitter, timeout=5.0)
        reply = await engine.execute(text)
        self.turns.append((next_id("turn"), engine.state))
        return reply

    def stop(self, user_id):
        engine = QueueEngine(user_id, self._emitter)
        return engine.cancel()

    def widget(self, kind):
        if kind in ("tool_executing", "tool_completed"):
            return "toolbox"
        if kind == "agent_thinking":
            return "dots"
        match kind:
            case "agent_started":
                return "spinner"
        return HANDLERS.get(kind, "none")
