"""Former names, until version four."""

from shop.payments import client as _client
from shop.payments.client import PaymentClient
from shop.payments.offline import OfflineClient as BatchClient
from shop.payments.stripe import StripeClient as CardClient

Gateway = PaymentClient
PayClient = Gateway
KlarnaClient = BatchClient
Payments = _client.PaymentClient

try:
    from shopfast import RetryingClient
except ImportError:
    RetryingClient = PaymentClient


def former_names():
    return sorted(["Gateway", "PayClient", "Payments"])
