"""Card payments."""

from shop.payments import wire
from shop.payments.events import EventBus
from shop.payments.wire import AbstractClient


class Envelope:
    def __init__(self, kind, body):
        self.kind = kind
        self.body = body


class StripeClient(AbstractClient):
    def __init__(self, api_key, endpoint="https://api.stripe.example", bus=None):
        self.api_key = api_key
        self._bus = bus or EventBus()
        self._wire = wire.WireClient(endpoint, 10)

    def charge(self, order_id, amount, note=""):
        reference = self._wire.send("payment_intents", order_id)
        self._bus.publish("payment_started", reference)
        return reference

    def charge_again(self, order_id, amount):
        reference = self._wire.send("payment_intents", order_id + "-again")
        self._bus.publish("payment_started", reference)
        return reference

    def refund(self, reference, amount):
        receipt = self._wire.send("refunds", reference)
        self._bus.publish(kind="payment_refunded", reference=receipt)
        return receipt

    def capture(self, reference):
        receipt = self._wire.send("captures", reference)
        self._bus.publish(Envelope("payment_captured", receipt))
        return receipt

    def void(self, reference, reason):
        receipt = self._wire.send("cancellations", reference)
        return {"receipt": receipt, "reason": reason}

    def payout(self, account, amount):
        return (self._wire.send("payouts", account), amount)

    @classmethod
    def from_env(cls, environ):
        return cls(environ["STRIPE_KEY"])
