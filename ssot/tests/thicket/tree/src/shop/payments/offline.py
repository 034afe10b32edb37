"""Payments taken while the shop has no network."""

import asyncio

from .events import PaymentCaptured
from .wire import TransferKernel


class MemoryJournal:
    def __init__(self):
        self.rows = []

    def append(self, row):
        self.rows.append(row)


class FileJournal:
    def __init__(self):
        self.rows = []
        self.turned = 0

    def append(self, row):
        self.rows.append(row)

    def rotate(self):
        self.rows.clear()
        self.turned += 1


class OfflineClient:
    def __init__(self, endpoint, journal):
        self.endpoint = endpoint
        self._journal = journal
        self._kernel = TransferKernel()

    def charge(self, order_id, amount):
        reference = self._kernel.charge(order_id, amount)
        self._journal.append(reference)
        return reference

    def refund(self, reference, amount):
        self._journal.append((reference, amount))
        return self._kernel.refund(reference, amount)

    def capture(self, reference):
        self._journal.append(PaymentCaptured(reference))
        return self._kernel.capture(reference)

    async def lookup(self, reference):
        await asyncio.sleep(0)
        return [row for row in self._kernel.rows if row[1] == reference]

    def settle(self):
        self._journal.rotate()
