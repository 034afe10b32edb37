"""Engines as other parts of the service want to see them."""

from app.engine.queue_engine import QueueEngine
from app.engine.user_engine import UserEngine


class ApiEngine:
    def __init__(self, engine: UserEngine):
        self._engine = engine

    async def execute(self, message):
        return await self._engine.execute(message)

    def cancel(self):
        return self._engine.cancel()

    def describe(self):
        return f"api:{self._engine.user_id}"


class Concierge:
    def __init__(self, user_id, emitter):
        self._queue = QueueEngine(user_id, emitter)

    async def execute(self, message):
        return await self._queue.execute(message)

    def cancel(self):
        return self._queue.cancel()
