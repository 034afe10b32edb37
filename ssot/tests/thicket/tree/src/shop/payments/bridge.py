"""Payments as other parts of the shop want to see them."""

from shop.checkout.ledger import LedgerBook
from shop.payments.client import PaymentClient
from shop.payments.offline import OfflineClient


class CheckoutClient:
    def __init__(self, client: PaymentClient):
        self._client = client

    def charge(self, order_id, amount):
        return self._client.charge(order_id, amount)

    def refund(self, reference, amount):
        return self._client.refund(reference, amount)

    def capture(self, reference):
        return self._client.capture(reference)

    def describe(self):
        return f"checkout via {self._client.endpoint}"


class TillBridge:
    def __init__(self):
        self._book = LedgerBook("https://till.shop.example")

    def charge(self, order_id, amount):
        return self._book.charge(order_id, amount)

    def refund(self, reference, amount):
        return self._book.refund(reference, amount)

    def capture(self, reference):
        return self._book.capture(reference)


class StatusClient:
    def __init__(self, offline: OfflineClient):
        self._offline = offline

    async def find(self, reference):
        return await self._offline.lookup(reference)
