"""Queues of the worker."""

from __future__ import annotations

import app.queueing.cron
from typing import TYPE_CHECKING

from app.events.kinds import AgentEvent
from app.planning import Flag

if TYPE_CHECKING:
    from app.events.broadcast import WebBroadcaster
    from app.events.console import ConsoleEmitter, Lines

globals().update({"QUEUE_FAST": "fast", "QUEUE_SLOW": "slow"})


class Lane(Flag):
    OPEN = 1
    CLOSED = 2


class Feeder:
    watched = ["tool_executing", "agent_completed", "queue_closed"]

    def __init__(self, notifier):
        self._notifier = notifier

    async def feed(self, bus, message):
        await bus.put({"event": AgentEvent.AGENT_STARTED, "message": message})
        await self._notifier.notify_tool_executing(message)

    def replay(self):
        yield "agent_completed"

    def show(self, channel: WebBroadcaster, console: ConsoleEmitter) -> Lines:
        channel.emit("show")
        console.emit("show", Lane.OPEN)
        return [str(payload) for _, payload in console.events]


def poll():
    from app.events.emitter import EventEmitter as Sink

    engine = app.queueing.cron.CronEngine("poll", Sink("poll"))
    return engine.cancel()


def announce(bus, kind):
    bus.publish("tool_executing", kind)


def announce_later(queue, kind):
    queue.put({"event": "tool_completed", "kind": kind})


def buffered(name):
    from app.events.emitter import BufferedEmitter

    return BufferedEmitter(name).emit("ready")


def price(tokens):
    try:
        from app.ids import price_of
    except ImportError:
        return 0
    return price_of(tokens)
