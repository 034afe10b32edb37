"""Start of the worker."""

import asyncio

from app.clock import STARTED
from app.engine.adapters import Concierge
from app.engine.compat import AgentEngine, PooledEngine
from app.engine.replay import AuditEngine
from app.events.compat import Channel, EventSink
from jobs import UserEngine
from jobs.nightly import run_nightly
from jobs.queues import QUEUE_FAST, QUEUE_SLOW, poll
from jobs.review import review


class Worker:
    """Runs what app.engine.conductor.Conductor has planned."""

    def __init__(self):
        self.started = STARTED
        self.sink = EventSink("worker")
        self.engine = UserEngine("worker", self.sink)
        self.spare = AgentEngine("spare", self.sink, timeout=2.0)
        self.concierge = Concierge("front", self.sink)

    async def drain(self, messages):
        pooled = PooledEngine("pooled", self.sink)
        return [await pooled.execute(message) for message in messages]

    async def repeat(self, message):
        audit = AuditEngine("repeat", self.sink)
        return await audit.execute(message)

    def announce(self, text):
        channel = Channel("worker")
        channel.emit("text", text)
        return len(channel.events)


async def run(message):
    """Run one turn with app.engine.user_engine.UserEngine."""
    worker = Worker()
    reply = await worker.engine.execute(message)
    return [reply, QUEUE_FAST, QUEUE_SLOW, await run_nightly(), poll(), await review(message)]


def main():
    return asyncio.run(run("hello"))


if __name__ == "__main__":
    main()
