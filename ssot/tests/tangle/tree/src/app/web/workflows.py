"""Workflows of several steps."""

from app.engine.graph_engine import GraphEngine
from app.events.emitter import EventEmitter


class Workflow:
    def __init__(self, name):
        self.name = name
        self.emitter = EventEmitter(name)

    async def start(self, message):
        engine = GraphEngine(self.name, self.emitter, graph="review")
        reply = await engine.execute(message)
        return reply, engine.checkpoint() > 0

    def abort(self):
        return GraphEngine(self.name, self.emitter).cancel()
