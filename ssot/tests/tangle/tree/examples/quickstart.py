"""An agent in ten lines."""

import asyncio

from app.engine.adapters import ApiEngine, UserEngine as Agent
from app.engine.offline_engine import OfflineEngine
from app.sinks import EventEmitter


class Demo:
    def __init__(self):
        self.emitter = EventEmitter("demo")

    def run(self):
        agent = Agent("demo", self.emitter)
        return asyncio.run(ApiEngine(agent).execute("hello"))

    def run_offline(self):
        engine = OfflineEngine("demo", self.emitter)
        return asyncio.run(engine.execute("hello"))


if __name__ == "__main__":
    print(Demo().run())
