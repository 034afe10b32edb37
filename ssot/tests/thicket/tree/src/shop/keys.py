"""Tables and shapes beneath the settings objects."""

from abc import ABC, abstractmethod
from typing import Protocol


class KeyReader(Protocol):
    def get(self, key, default=None): ...

    def require(self, key): ...


class BaseSettings(ABC):
    @abstractmethod
    def get(self, key, default=None):
        """Value of the key, or the default."""

    @abstractmethod
    def require(self, key):
        raise NotImplementedError


class KeyTable:
    def __init__(self, values):
        self._values = dict(values)

    def get(self, key, default=None):
        return self._values.get(key, default)

    def require(self, key):
        return self._values[key]

    def names(self):
        return sorted(self._values)

    def beneath(self, name):
        prefix = name + "."
        return {k[len(prefix):]: v for k, v in self._values.items() if k.startswith(prefix)}


class PackagedSettings:
    """Defaults that ship with the wheel."""

    shipped = {"currency": "EUR", "payments.timeout": 5}

    def pairs(self):
        return sorted(self.shipped.items())
