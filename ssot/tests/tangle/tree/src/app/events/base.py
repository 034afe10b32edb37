"""Shapes of an emitter."""

from abc import ABC, abstractmethod
from typing import Protocol


class EmitterPort(Protocol):
    def emit(self, kind, payload=None): ...

    def subscribe(self, handler): ...


class BaseEmitter(ABC):
    @abstractmethod
    def emit(self, kind, payload=None):
        """Tell the subscribers."""

    @abstractmethod
    def subscribe(self, handler):
        pass


class LineEmitter:
    width = 80

    def line(self, kind, payload):
        return f"{kind} {payload}"[: self.width]
