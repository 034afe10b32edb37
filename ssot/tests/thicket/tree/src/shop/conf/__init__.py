"""Sources of settings."""

from shop.settings import Settings

ORDER = ("packaged", "environment", "tenant")


def rank(name):
    return ORDER.index(name)
