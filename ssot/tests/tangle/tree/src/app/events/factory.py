"""Where emitters are made."""

from app.events.adapters import TracingEmitter
from app.events.emitter import EventEmitter


def make_emitter(source) -> EventEmitter:
    return EventEmitter(source)


def make_tracer(source):
    tracer = TracingEmitter(source)
    tracer.emit("ready")
    return tracer


class EmitterPool:
    def __init__(self):
        self._emitters = {}

    def emitter_for(self, user_id) -> EventEmitter:
        return self._emitters.setdefault(user_id, EventEmitter(user_id))


def emitter_type(traced) -> type[EventEmitter]:
    return TracingEmitter if traced else EventEmitter
