"""Events that stay in memory."""

from app.events.base import EmitterPort


class MemoryEmitter(EmitterPort):
    def __init__(self, source="memory"):
        self.source = source
        self.events = []
        self._handlers = []

    def emit(self, kind, payload=None):
        self.events.append((kind, payload))
        for handler in self._handlers:
            handler(kind, payload)

    def subscribe(self, handler):
        self._handlers.append(handler)
