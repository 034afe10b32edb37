"""Audit of what the agents did."""

import logging

from app.events.broadcast import WebBroadcaster
from app.events.emitter import EventEmitter
from app.shims import accumulate, chain

logger = logging.getLogger(__name__)


class TextSink:
    def write(self, text):
        return text.rstrip()


class LineSink:
    def __init__(self):
        self.lines = []

    def write_line(self, text):
        self.lines.append(text)


def export_text(kinds):
    emitter = EventEmitter("audit")
    for kind in chain(kinds, ["end"]):
        emitter.emit(kind)
    emitter.drain_to(TextSink())


def export_lines():
    emitter = EventEmitter("audit")
    emitter.emit("start")
    emitter.drain_to(LineSink())


def publish(counts):
    channel = WebBroadcaster("audit")
    channel.emit("totals", list(accumulate(counts)))
    try:
        channel.flush()
    except Exception:
        logger.warning("totals are not flushed")


def __getattr__(name):
    if name.startswith("report_"):
        return name.removeprefix("report_").title()
    raise AttributeError(name)
