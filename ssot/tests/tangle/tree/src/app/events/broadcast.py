"""Events for the browsers."""

from app.events.base import BaseEmitter


class WebBroadcaster(BaseEmitter):
    def __init__(self, source, retries=2):
        self.source = source
        self.retries = retries
        self.events = []
        self._sockets = {}

    def emit(self, kind, payload=None):
        self.events.append((kind, payload))
        for handler in self._sockets.values():
            handler(kind, payload)

    def subscribe(self, handler):
        self._sockets[len(self._sockets)] = handler

    def unsubscribe(self, number, handler):
        if self._sockets.get(number) is handler:
            del self._sockets[number]
