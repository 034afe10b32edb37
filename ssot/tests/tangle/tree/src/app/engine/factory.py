"""Where engines are made."""

import asyncio

from app.engine.batch_engine import BatchEngine
from app.engine.replay import ReplayEngine
from app.engine.user_engine import UserEngine
from app.events.emitter import EventEmitter


def create_engine(user_id, emitter):
    return UserEngine(user_id, emitter)


async def open_engine(user_id) -> UserEngine:
    engine = UserEngine(user_id, EventEmitter(user_id))
    await asyncio.sleep(0)
    return engine


def pick_engine(kind, user_id, emitter):
    if kind == "batch":
        return BatchEngine(user_id, emitter)
    return ReplayEngine(user_id, emitter)


class EngineFactory:
    def __init__(self):
        self._engines = {}

    def engine_for(self, user_id) -> UserEngine:
        if user_id not in self._engines:
            self._engines[user_id] = UserEngine(user_id, EventEmitter(user_id))
        return self._engines[user_id]

    def forget(self, user_id):
        self._engines.pop(user_id, None)


def engine_class():
    return UserEngine
