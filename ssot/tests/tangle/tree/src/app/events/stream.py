"""Streams between an engine and a browser."""


class StreamEngine:
    def __init__(self, source):
        self.source = source
        self.events = []

    def emit(self, kind, payload=None):
        self.events.append((kind, payload))

    def subscribe(self, handler):
        self.events = [handler(*event) for event in self.events]

    def flush(self, limit):
        del self.events[:limit]

    async def execute(self, message):
        self.emit("agent_thinking", message)

    def cancel(self):
        self.events.clear()


class RelayEmitter:
    def __init__(self, user_id, emitter):
        self.user_id = user_id
        self._emitter = emitter
        self._handlers = []

    async def execute(self, message):
        self.emit("tool_executing", message)
        return f"{self.user_id}: {message}"

    def cancel(self):
        self._handlers.clear()

    async def resume(self, token):
        return await self.execute(token)

    def emit(self, kind, payload=None):
        self._emitter.emit(kind, payload)
        for handler in self._handlers:
            handler(kind, payload)

    def subscribe(self, handler):
        self._handlers.append(handler)
