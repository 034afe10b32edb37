"""Events as lines of text."""

from .base import LineEmitter

Lines = list[str]


class ConsoleEmitter:
    def __init__(self, source="console"):
        self.source = source
        self.events = []
        self._handlers = []
        self._lines = LineEmitter()

    def emit(self, kind, payload=None):
        self.events.append((kind, payload))
        text = self._lines.line(kind, payload)
        for handler in self._handlers:
            handler(kind, text)

    def subscribe(self, handler):
        self._handlers.append(handler)
