"""Settings from the process environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shop.keys import KeyTable, PackagedSettings
from shop.settings import Settings

if TYPE_CHECKING:
    from shop.conf.flags import FlagBoard


class EnvSettings:
    def __init__(self, prefix="SHOP_", environ=()):
        values = dict(PackagedSettings().pairs())
        values.update({k[len(prefix):].lower(): v for k, v in environ if k.startswith(prefix)})
        self._table = KeyTable(values)

    def get(self, key, default=None):
        value = self._table.get(key.lower())
        return default if value is None else value

    def require(self, key):
        value = self._table.require(key.lower())
        return str(value)

    def export(self, writer):
        writer.write_pairs([(name, self.get(name)) for name in self._table.names()])

    def toggled(self, flags: FlagBoard, name):
        return flags.get(name, False) and self.get(name)


class FrozenSettings:
    def __init__(self, settings: Settings):
        self._settings = settings

    def get(self, key, default=None):
        return self._settings.get(key, default)

    def require(self, key):
        return self._settings.require(key)


class RequestScope:
    def __init__(self):
        self._env = EnvSettings(prefix="REQUEST_")

    def get(self, key, default=None):
        return self._env.get(key, default)

    def require(self, key):
        return self._env.require(key)

    def label(self):
        return "request:" + str(self._env.get("id", "-"))
