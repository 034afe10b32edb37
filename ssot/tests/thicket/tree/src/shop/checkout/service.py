"""From basket to order."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from shop.money import add_tax
from shop.payments.client import PaymentClient, PaymentDeclined
from shop.payments.events import PaymentNotifier
from shop.payments.stripe import StripeClient

if TYPE_CHECKING:
    from shop.payments.klarna import KlarnaClient

HANDLERS = {"payment_captured": "ship", "payment_refunded": "restock"}


class CheckoutService:
    """Checkout on top of shop.payments.client and the event bus."""

    from shop.settings import DEFAULT_CURRENCY as currency

    card_client = partial(StripeClient, "k-checkout")

    def __init__(self, client: PaymentClient, bus):
        self._client = client
        self._events = PaymentNotifier(bus)
        self.failed = []

    def place(self, order_id, amount):
        try:
            reference = self._client.charge(order_id, add_tax(amount, 25))
        except PaymentDeclined:
            self.failed.append(order_id)
            return None
        self._events.notify_payment_started(reference)
        return reference

    def place_again(self, order_id, amount):
        reference = self._client.charge(f"{order_id}-2", amount)
        self._events.notify_payment_started(reference)
        return reference

    def pay_later(self, klarna: KlarnaClient, order_id, amount):
        return klarna.charge(order_id, amount)

    def next_step(self, kind):
        if kind in ("payment_started", "payment_authorised"):
            return "wait"
        if kind == "payment_captured":
            return "ship"
        match kind:
            case "payment_refunded":
                return "restock"
        return HANDLERS.get(kind, "ignore")
