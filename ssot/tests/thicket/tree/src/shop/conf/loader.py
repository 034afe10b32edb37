"""Where settings are made."""

import logging
from functools import cache

from shop.conf.env import EnvSettings
from shop.conf.layers import TenantSettings
from shop.settings import Settings

logger = logging.getLogger(__name__)


class StaticSource:
    def read(self):
        return {}


class MappingSource:
    def __init__(self, values):
        self.values = values

    def read_all(self):
        return dict(self.values)


class ConsoleWriter:
    def write(self, text):
        print(text)


def load_settings(environ) -> Settings:
    return Settings(environ)


@cache
def tenant_settings(name):
    return TenantSettings({"tenant": name})


class SettingsLoader:
    def __init__(self, environ):
        self.environ = environ

    def load(self) -> Settings:
        return load_settings(self.environ)


def settings_type(layered) -> type[Settings]:
    return TenantSettings if layered else Settings


def seed():
    settings = Settings({})
    settings.reload(StaticSource())


def dump():
    env = EnvSettings(prefix="SHOP_")
    env.export(ConsoleWriter())


def resync(source):
    env = EnvSettings(prefix="SHOP_")
    try:
        env.reload(source)
    except (AttributeError, TypeError):
        logger.info("environment is not refreshed")


def probe_mail():
    settings = Settings({"mail.host": "localhost"})
    try:
        settings.section("mail")
    except Exception:
        pass
