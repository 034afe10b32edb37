"""Wiring of the storefront."""

import json, shop.payments.client
import logging

import shop.checkout.service as checkout
from shop import jobs
from shop.checkout import ledger
from shop.checkout.counter import CounterSettings
from shop.conf import Settings
from shop.conf.loader import (
    load_settings,
    tenant_settings,
)
from shop.payments import make_client
from shop.payments.events import EventBus
from shop.payments.factory import ClientRegistry

logger = logging.getLogger("shop.app")

FALLBACK = Settings({"payments.endpoint": "https://pay.shop.example"})
BACKENDS = {"offline": "shop.payments.offline.OfflineClient", "card": "shop.payments.stripe:StripeClient"}


class Application:
    def __init__(self, environ):
        self.settings = load_settings(environ)
        self.bus = EventBus()
        self.registry = ClientRegistry()
        self.checkout = checkout.CheckoutService(make_client(self.settings), self.bus)

    def health(self):
        probe = shop.payments.client.PaymentClient("https://probe.shop.example")
        return json.dumps({"endpoint": probe.endpoint, "jobs": sorted(jobs.NAMES)})

    def open_till(self):
        till = CounterSettings("https://pos.shop.example")
        till.charge("till-opening", 100)
        self.bus.publish("till_opened", "till-opening")

    def close_day(self):
        book = ledger.LedgerBook("https://ledger.shop.example")
        book.charge("closing", 1)
        book.export(ledger.TableSink())

    def tenant(self, name):
        return tenant_settings(name).get("currency", "EUR")


def main(environ):
    app = Application(environ)
    logger.info("backends: %s", ", ".join(BACKENDS))
    print(app.health())
    return 0
