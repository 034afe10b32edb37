"""Settings of version one."""

from shop.settings import DEFAULT_CURRENCY


class ShopRegistry:
    def __init__(self, values):
        self.values = dict(values)

    def get(self, key, default=None):
        return self.values.get(key, default or DEFAULT_CURRENCY)

    def require(self, key):
        return self.values[key]


class Vault:
    sealed = True

    class TreeSettings:
        def __init__(self, branches):
            self.branches = branches

        def get(self, key, default=None):
            return self.branches.get(key, default)

        def require(self, key):
            return self.branches[key]


def overlay(base, base):
    return {**base, **base}
