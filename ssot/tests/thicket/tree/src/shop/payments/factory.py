"""Where payment clients are made."""

import asyncio

from shop.payments.client import PaymentClient
from shop.payments.events import EventBus, PaymentNotifier
from shop.payments.retry import RegionalClient
from shop.payments.stripe import StripeClient


class UnknownClient(KeyError):
    """Nobody registered that name."""


def make_client(settings):
    notifier = PaymentNotifier(EventBus())
    return PaymentClient(settings.require("payments.endpoint"), notifier=notifier)


async def open_client(endpoint) -> PaymentClient:
    client = PaymentClient(endpoint)
    await asyncio.sleep(0)
    return client


def pick_client(kind, endpoint):
    if kind == "card":
        return StripeClient(api_key="k-pick", endpoint=endpoint)
    if kind == "regional":
        return RegionalClient(endpoint)
    raise UnknownClient(kind)


class ClientRegistry:
    def __init__(self):
        self._clients = {}

    def client_for(self, country) -> PaymentClient:
        if country not in self._clients:
            self._clients[country] = PaymentClient(f"https://{country}.shop.example")
        return self._clients[country]

    def forget(self, country):
        self._clients.pop(country, None)


def client_class():
    return PaymentClient
