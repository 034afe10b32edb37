"""Replay the runs of a day."""

import asyncio, app.engine.offline_engine as offline
import sys

from app.engine.user_engine import UserEngine
from app.events import make_emitter
from app.events.emitter import EventEmitter as ReplaySink
from scripts.bench import BenchEngine as Bench

try:
    from app.events.factory import EmitterPool
finally:
    sys.dont_write_bytecode = True

DEFAULT = "app.engine.user_engine:UserEngine"
HOOK = "app.engine.user_engine.UserEngine.execute"


def replay(messages):
    emitter = EmitterPool().emitter_for("replay")
    engine = offline.OfflineEngine("replay", emitter, timeout=1.0)
    return [asyncio.run(engine.execute(message)) for message in messages]


def dry(messages):
    bench = Bench("dry", ReplaySink("dry"))
    spare = Bench("spare", make_emitter("spare"))
    return [bench.cancel(), spare.cancel(), len(messages)]


def blank():
    engine = UserEngine.__new__(UserEngine)
    emitter = ReplaySink.__new__(ReplaySink)
    return [vars(engine), vars(emitter), DEFAULT, HOOK]
