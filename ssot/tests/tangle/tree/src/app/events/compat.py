"""Former names of the emitters."""

import app.events.broadcast as _broadcast
from app.events.console import ConsoleEmitter as RedisEmitter
from app.events.emitter import EventEmitter

Emitter = EventEmitter
EventSink = Emitter
Channel = _broadcast.WebBroadcaster

try:
    from fastevents import TracingEmitter
except ImportError:
    TracingEmitter = EventEmitter
