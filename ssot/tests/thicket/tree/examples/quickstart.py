"""Take a payment in ten lines."""

from shop.gateways import PaymentClient
from shop.payments.client import *
from shop.payments.compat import BatchClient, PayClient

Pay = PaymentClient


class Demo:
    def run(self):
        client = Pay.for_country("se")
        reference = client.charge("demo", 100)
        return client.capture(reference), DEFAULT_TIMEOUT

    def former(self):
        return [BatchClient.__name__, PayClient.__name__]


if __name__ == "__main__":
    print(Demo().run())
