"""What happens to a payment."""

from dataclasses import dataclass
from enum import Enum


class PaymentEvent(str, Enum):
    PAYMENT_STARTED = "payment_started"
    PAYMENT_AUTHORISED = "payment_authorised"
    PAYMENT_CAPTURED = "payment_captured"
    PAYMENT_REFUNDED = "payment_refunded"


@dataclass(frozen=True)
class PaymentCaptured:
    reference: str


@dataclass(frozen=True)
class PaymentRefunded:
    reference: str
    amount: int = 0


SETTLED = frozenset({"payment_captured", "payment_refunded"})
RECORDED = (PaymentCaptured, PaymentRefunded)
OPENING: tuple = (PaymentEvent.PAYMENT_STARTED, PaymentEvent.PAYMENT_AUTHORISED)
REVERSALS = ["payment_refunded", "order_returned"]


class EventBus:
    def __init__(self):
        self.seen = []

    def publish(self, kind, reference=""):
        self.seen.append((kind, reference))


class PaymentNotifier:
    def __init__(self, bus):
        self._bus = bus

    def notify_payment_started(self, reference):
        self._bus.publish(PaymentEvent.PAYMENT_STARTED, reference)

    def notify_payment_authorised(self, reference):
        self._bus.publish(PaymentEvent.PAYMENT_AUTHORISED, reference)

    def notify_payment_captured(self, reference):
        self._bus.publish(PaymentEvent.PAYMENT_CAPTURED, reference)

    def notify_payment_refunded(self, reference):
        self._bus.publish(PaymentEvent.PAYMENT_REFUNDED, reference)
