"""Look after the layout of the repository."""

import logging
from pathlib import Path

from shop.settings import *
from tools.reconcile import BookSettings

logging.getLogger("shop.settings").setLevel(logging.ERROR)

CORE = "src/shop/settings.py"
ENTRY = "shop.settings:Settings"
RULE = "shop.settings.Settings.require"
SIMILAR = ("shop.settingsstore", "shop.settings_v2")


def size():
    return len(Path(CORE).read_text(encoding="utf-8")), DEFAULT_CURRENCY


def check(values):
    try:
        from shop.conf.loader import load_settings
    except ValueError:
        raise SystemExit(1)
    book = BookSettings(values)
    return book.get("layout"), load_settings(values).get("layout")


def plugins():
    return [__import__("shop.conf.layers"), ENTRY, RULE, SIMILAR]
