"""Settings from an ini file."""

from shop.keys import BaseSettings, KeyTable, PackagedSettings


class IniSettings(BaseSettings):
    def __init__(self, values):
        merged = dict(PackagedSettings().pairs())
        merged.update(values)
        self._table = KeyTable(merged)

    def get(self, key, default=None):
        value = self._table.get(key)
        return default if value in (None, "") else value

    def require(self, key):
        value = self._table.require(key)
        return value.strip() if isinstance(value, str) else value
