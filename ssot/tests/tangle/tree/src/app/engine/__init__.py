"""Engines."""

from .factory import create_engine
from .queue_engine import QueueEngine
from .user_engine import UserEngine

__all__ = ["QueueEngine", "UserEngine", "create_engine"]
