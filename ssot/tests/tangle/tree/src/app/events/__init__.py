"""Events."""

from .emitter import EventEmitter
from .factory import make_emitter

__all__ = ["EventEmitter", "make_emitter"]
