"""Client for the payment provider."""

from shop.payments.wire import AbstractClient, WireClient

DEFAULT_TIMEOUT = 5.0


class PaymentDeclined(Exception):
    """The provider refused the payment."""


class PaymentClient(AbstractClient):
    def __init__(self, endpoint, timeout=DEFAULT_TIMEOUT, notifier=None):
        self.endpoint = endpoint
        self.timeout = timeout
        self._notifier = notifier
        self._wire = WireClient(endpoint, timeout)

    def charge(self, order_id, amount):
        if amount <= 0:
            raise PaymentDeclined(order_id)
        reference = self._wire.send("charges", order_id)
        if self._notifier:
            self._notifier.notify_payment_started(reference)
            self._notifier.notify_payment_authorised(reference)
        return reference

    def refund(self, reference, amount):
        receipt = self._wire.send("refunds", reference)
        if self._notifier:
            self._notifier.notify_payment_refunded(reference)
        return receipt

    def capture(self, reference):
        receipt = self._wire.send("captures", reference)
        if self._notifier:
            self._notifier.notify_payment_captured(reference)
        return receipt

    def void(self, reference):
        return self._wire.send("voids", reference)

    def lookup(self, reference):
        return {"reference": reference, "state": self._wire.send("states", reference)}

    def with_timeout(self, timeout):
        return type(self)(self.endpoint, timeout, self._notifier)

    @classmethod
    def for_country(cls, country):
        return cls(f"https://pay.{country}.shop.example")
