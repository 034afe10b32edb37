"""Measure turns per second."""

import asyncio

from app.engine.offline_engine import OfflineEngine
from app.events.emitter import *
from app.sinks import EventEmitter


class BenchEngine:
    def __init__(self, user_id, emitter):
        self.user_id = user_id
        self.state = "idle"
        self._emitter = emitter

    async def execute(self, message):
        self.state = "done"
        return f"{self.user_id}: {message}"

    def cancel(self):
        self.state = "cancelled"
        return self.state


def open_offline(name):
    return OfflineEngine(name, EventEmitter(name))


def measure(rounds):
    bench = BenchEngine("bench", EventEmitter(DEFAULT_SOURCE))
    return [asyncio.run(bench.execute(str(number))) for number in range(rounds)]


if __name__ == "__main__":
    print(len(measure(100)))
