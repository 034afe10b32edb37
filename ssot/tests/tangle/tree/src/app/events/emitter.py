"""Emitter of the service."""

from app.events.base import BaseEmitter, LineEmitter

DEFAULT_SOURCE = "app"


class EventEmitter(BaseEmitter):
    def __init__(self, source=DEFAULT_SOURCE):
        self.source = source
        self.events = []
        self._handlers = []
        self._lines = LineEmitter()

    def emit(self, kind, payload=None):
        self.events.append((kind, payload))
        for handler in self._handlers:
            handler(kind, payload)

    def subscribe(self, handler):
        self._handlers.append(handler)

    def unsubscribe(self, handler):
        self._handlers.remove(handler)

    def flush(self):
        count = len(self.events)
        self.events.clear()
        return count

    def drain_to(self, sink):
        for kind, payload in self.events:
            sink.write_line(self._lines.line(kind, payload))

    def child(self, name):
        return type(self)(f"{self.source}.{name}")

    @classmethod
    def silent(cls):
        return cls("silent")
