import sys

import pytest

from shop.conf.flags import FlagBoard
from shop.conf.loader import load_settings
from shop.settings import Settings


class CannedSettings:
    def get(self, key, default=None):
        return default

    def require(self, key):
        return key


class TestSettings:
    def test_get(self):
        assert Settings({"a": 1}).get("a") == 1

    @pytest.mark.parametrize("name", ["a", "b"])
    def test_section(self, name):
        assert Settings({name + ".x": 2}).section(name).require("x") == 2


def test_default():
    assert load_settings({}).get("missing", "d") == "d"


@pytest.mark.skipif(sys.version_info < (3, 9), reason="needs a newer Python")
def test_flags():
    assert FlagBoard({"beta": True}).require("beta") is True


def test_currency(monkeypatch):
    monkeypatch.setattr("shop.settings.DEFAULT_CURRENCY", "SEK")
    assert load_settings({"currency": "SEK"}).get("currency") == CannedSettings().get("x", "SEK")
