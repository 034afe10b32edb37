"""Events as they were in 2023."""

from app.events.emitter import DEFAULT_SOURCE


class SignalEmitter:
    def __init__(self, source=DEFAULT_SOURCE):
        self.source = source
        self.rows = []

    def emit(self, kind, payload=None):
        self.rows.append((self.source, kind, payload))

    def subscribe(self, handler):
        for row in self.rows:
            handler(*row)


class Outer:
    sealed = True

    class TreeEmitter:
        def __init__(self, branches):
            self.branches = branches

        def emit(self, kind, payload=None):
            self.branches[kind] = payload

        def subscribe(self, handler):
            self.branches["handler"] = handler


def overlay(base, base):
    return {**base, **base}
