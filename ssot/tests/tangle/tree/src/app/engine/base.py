"""Shapes of an engine."""

from abc import ABC, abstractmethod
from typing import Protocol


class EngineError(RuntimeError):
    """A turn could not be run."""


class EnginePort(Protocol):
    async def execute(self, message): ...

    def cancel(self): ...


class BaseEngine(ABC):
    @abstractmethod
    async def execute(self, message):
        """Run one turn."""

    @abstractmethod
    def cancel(self):
        raise NotImplementedError
