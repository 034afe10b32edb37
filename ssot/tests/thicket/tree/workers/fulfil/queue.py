"""Parcels that wait."""

import importlib

try:
    from shop.conf.env import RequestScope
except Exception:
    RequestScope = None

globals().update({"QUEUE_EXPRESS": "express", "QUEUE_BULK": "bulk"})


class Parcel:
    def __init__(self, sku, cost):
        self.sku = sku
        self.cost = cost

    def charge(self, order_id, amount):
        self.cost += amount

    def refund(self, reference, amount):
        self.cost -= amount


class Courier:
    from shop.payments.client import DEFAULT_TIMEOUT

    async def hand_over(self, bus, parcel):
        await bus.send({"event": "payment_captured", "sku": parcel.sku})

    def replay(self):
        yield "payment_authorised"


class Dispatcher:
    def __init__(self, events):
        self._events = events

    async def release(self, reference):
        await self._events.notify_payment_authorised(reference)

    def settings(self):
        from shop.settings import Settings

        blank = Settings.__new__(Settings)
        return vars(blank)

    def scale(self):
        try:
            from shop.money import weigh
        except ImportError:
            return None
        return weigh

    def reach(self, name):
        return getattr(importlib.import_module("shop.conf.loader"), name)
