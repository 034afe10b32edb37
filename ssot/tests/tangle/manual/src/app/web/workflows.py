"""Workflows of several steps."""

from app.engine.user_engine import UserEngine
from app.events.emitter import EventEmitter


class Workflow:
    def __init__(self, name):
        self.name = name
        self.emitter = EventEmitter(name)

    async def start(self, message):
        engine = UserEngine(self.name, self.emitter)
        reply = await engine.execute(message)
        return reply, len(self.emitter.events) > 0

    def abort(self):
        return UserEngine(self.name, self.emitter).cancel()
