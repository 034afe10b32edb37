"""Events through a stream server."""

import json

from app.events.base import BaseEmitter


class RedisEmitter(BaseEmitter):
    def __init__(self, source="redis"):
        self.source = source
        self._rows = []

    def emit(self, kind, payload=None):
        self._rows.append(json.dumps([self.source, kind, payload]))

    def subscribe(self, handler):
        for row in self._rows:
            handler(*json.loads(row)[1:])
