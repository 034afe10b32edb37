"""Settings kept at the payment provider."""

import asyncio


class ProviderClient:
    def __init__(self, base_url):
        self.base_url = base_url
        self._remote = {}
        self.charged = []

    def get(self, key, default=None):
        return self._remote.get(key, default)

    def require(self, key):
        return self._remote[key]

    def section(self, prefix):
        return {k: v for k, v in self._remote.items() if k.startswith(prefix)}

    async def reload(self):
        await asyncio.sleep(0)
        self._remote["base_url"] = self.base_url

    def charge(self, order_id, amount):
        self.charged.append((order_id, amount))
        return order_id

    def refund(self, reference, amount):
        self.charged.append((reference, -amount))
        return reference

    def capture(self, reference):
        return (reference, len(self.charged))
