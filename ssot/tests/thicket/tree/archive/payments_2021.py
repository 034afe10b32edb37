"""Payments before the rewrite."""

from abc import ABC, abstractmethod
from enum import Enum


class OldPaymentEvent(Enum):
    PAYMENT_STARTED = "payment_started"
    PAYMENT_REFUNDED = "payment_refunded"
    ORDER_PLACED = "order_placed"


class BaseDebitClient(ABC):
    @abstractmethod
    def charge(self, order_id, amount):
        raise NotImplementedError

    def refund(self, reference, amount):
        return f"{reference}:{amount}"

    def capture(self, reference):
        return reference.upper()


class MonolithClient:
    def __init__(self, database):
        self.database = database

    def charge(self, order_id, amount):
        self.database.insert({"event": "payment_started", "order": order_id})
        return order_id

    def refund(self, reference, amount):
        self.database.insert({"event": "payment_refunded", "order": reference})
        return reference

    def capture(self, reference):
        return self.database.find(reference)


class MirrorClient(MonolithClient):
    mirrors = 2

    def capture(self, reference):
        return [reference] * self.mirrors
