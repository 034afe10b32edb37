"""Engines that remember."""

from typing import final

from .steps import TurnKernel
from .user_engine import DEFAULT_TIMEOUT, UserEngine


class ReplayEngine(UserEngine):
    def __init__(self, user_id, emitter, timeout=DEFAULT_TIMEOUT):
        super().__init__(user_id, emitter, timeout)
        self._journal = TurnKernel()

    async def execute(self, message):
        await self._journal.execute(message)
        return await super().execute(message)

    def replay(self):
        return list(self._journal.turns)


@final
class AuditEngine(ReplayEngine):
    level = "full"

    def _twin(self):
        return type(self)(self.user_id, self._emitter)

    def label(self):
        return f"{self.level}:{self._twin().timeout}"
