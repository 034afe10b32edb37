"""Runtime settings of the shop."""

from shop.keys import BaseSettings, KeyTable

DEFAULT_CURRENCY = "EUR"


class MissingSetting(KeyError):
    """A required key has no value."""


class Settings(BaseSettings):
    def __init__(self, values):
        self._table = KeyTable(values)

    def get(self, key, default=None):
        value = self._table.get(key)
        return default if value is None else value

    def require(self, key):
        if key not in self._table.names():
            raise MissingSetting(key)
        return self._table.require(key)

    def section(self, name):
        return type(self)(self._table.beneath(name))

    def reload(self, source):
        self._table = KeyTable(source.read_all())

    @classmethod
    def _from_pairs(cls, pairs):
        return cls(dict(pairs))
