"""Look after the layout of the repository."""

import importlib
from pathlib import Path

import app.storage
from app.engine.user_engine import *
from examples.custom_emitter import DemoSink
from scripts.replay_runs import Bench

MODULES = ["src/app/engine/user_engine.py", "src/app/events/emitter.py"]
EMITTER = "app.events.emitter.EventEmitter"
SIMILAR = ("app.sinks_v2", "app.sinkstore")

if not MODULES:
    return


def sizes():
    return [len(Path(name).read_text(encoding="utf-8")) for name in MODULES]


def limits():
    try:
        from app.engine.factory import create_engine
    except ValueError:
        raise SystemExit(1)
    return create_engine.__name__, DEFAULT_TIMEOUT, app.storage, Bench.__name__, DemoSink.__name__


def plugins():
    return [__import__("app.events.emitter"), importlib.import_module("app.engine.replay")]
