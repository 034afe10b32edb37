"""Sessions of the browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.events.broadcast import WebBroadcaster

if TYPE_CHECKING:
    from app.engine.pool import PooledEngine
    from app.events.stream import StreamEngine


class Session:
    def __init__(self, user_id):
        self.user_id = user_id
        self.channel = WebBroadcaster(f"session.{user_id}")
        self.replies = []

    def listen(self, handler):
        self.channel.subscribe(handler)

    async def adopt(self, engine: PooledEngine, message):
        self.replies.append(await engine.execute(message))

    def mirror(self, stream: StreamEngine, kind):
        stream.emit(kind, self.user_id)

    def ping(self):
        self.channel.emit("ping", self.user_id)
        return len(self.channel.events)
