"""Where plugins send their events."""

from app.events import EventEmitter

__all__ = ["EventEmitter", "sink_names"]


def sink_names(prefix, count):
    return [f"{prefix}{number}" for number in range(count)]
