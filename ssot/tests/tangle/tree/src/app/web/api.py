"""Interface for other services."""

from app.engine.adapters import ApiEngine
from app.engine.user_engine import UserEngine
from app.events.console import ConsoleEmitter

try:
    from app.engine.batch_engine import BatchEngine
except ImportError:
    BatchEngine = None

try:
    from app.engine.turbo import TurboEngine
except ImportError:
    TurboEngine = None


class ApiService:
    from app.engine.user_engine import DEFAULT_TIMEOUT as limit

    def __init__(self, emitter):
        self._emitter = emitter

    async def submit(self, user_id, message):
        api = ApiEngine(UserEngine(user_id, self._emitter))
        return await api.execute(message)

    async def submit_many(self, user_id, messages):
        if BatchEngine is None:
            return []
        engine = BatchEngine(user_id, self._emitter)
        return [await engine.execute(message) for message in messages]

    def turbo(self, user_id):
        if TurboEngine is None:
            return "slow"
        return TurboEngine(user_id, self._emitter).cancel()


def close_console(user_id):
    engine = UserEngine(user_id, ConsoleEmitter("web"))
    engine.close()
    return engine.state
