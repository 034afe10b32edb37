"""Emitters on top of emitters."""

from typing import final

from app.events.base import LineEmitter
from app.events.console import ConsoleEmitter
from app.events.emitter import EventEmitter


class TopicEmitter:
    def __init__(self, emitter: EventEmitter):
        self._emitter = emitter

    def emit(self, kind, payload=None):
        return self._emitter.emit(f"topic.{kind}", payload)

    def subscribe(self, handler):
        return self._emitter.subscribe(handler)


class Loudspeaker:
    def __init__(self):
        self._console = ConsoleEmitter("loud")

    def emit(self, kind, payload=None):
        return self._console.emit(kind, payload)

    def subscribe(self, handler):
        return self._console.subscribe(handler)

    def volume(self):
        return len(self._console.events)


class TracingEmitter(EventEmitter):
    def emit(self, kind, payload=None):
        super().emit(kind, payload)
        self.last = LineEmitter().line(kind, payload)


@final
class AuditEmitter(TracingEmitter):
    keep = 100

    def trimmed(self):
        return self.events[-self.keep :]
