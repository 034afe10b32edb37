"""Bring your own emitter."""

from app.events.compat import RedisEmitter as Transport
from app.events.factory import EventEmitter, make_tracer
from app.events.kinds import AgentEvent

DemoSink = EventEmitter


class DemoEmitter:
    def __init__(self, source):
        self.source = source
        self.events = []

    def emit(self, kind, payload=None):
        self.events.append((kind, payload))

    def subscribe(self, handler):
        for event in self.events:
            handler(*event)


def main():
    demo = DemoEmitter("demo")
    demo.emit(AgentEvent.AGENT_STARTED, "demo")
    transport = Transport("demo")
    transport.emit("demo")
    tracer = make_tracer("demo")
    tracer.subscribe(DemoSink("demo").emit)
    return [demo.source, len(demo.events), len(transport.events)]
