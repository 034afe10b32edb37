"""Bring your own settings."""

from shop.conf.compat import IniSettings as EnvironmentSettings, SiteConfig
from shop.conf.ini import IniSettings


class DemoSettings:
    def __init__(self, values):
        self.values = values

    def get(self, key, default=None):
        return self.values.get(key, default)

    def require(self, key):
        return self.values[key]


def main():
    demo = DemoSettings({"currency": "SEK"})
    ini = IniSettings({"currency": "GBP"})
    site = SiteConfig({"currency": "EUR"})
    env = EnvironmentSettings(prefix="DEMO_")
    return [demo.get("currency"), ini.require("currency"), site.get("currency"), env.get("currency")]
