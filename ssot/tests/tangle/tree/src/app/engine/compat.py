"""Former names of the engines."""

from app.engine import user_engine as _impl
from app.engine.batch_engine import BatchEngine
from app.engine.queue_engine import QueueEngine as FastEngine
from app.engine.user_engine import UserEngine

Engine = UserEngine
AgentEngine = Engine
PooledEngine = FastEngine
BulkRunner = BatchEngine
Runner = _impl.UserEngine

try:
    from fastloop import ReplayEngine
except ImportError:
    ReplayEngine = UserEngine


def former_names():
    return sorted(["AgentEngine", "Engine", "Runner"])
