import asyncio
from unittest.mock import patch

import pytest

from shop.payments.client import PaymentClient
from shop.payments.events import EventBus, PaymentNotifier
from shop.payments.factory import make_client, open_client


class TestPaymentClient:
    def test_charge(self, real_client):
        assert real_client.charge("o-1", 5) == "charges-o-1"

    def test_declined(self):
        with pytest.raises(Exception):
            PaymentClient("https://test.shop.example").charge("o-1", 0)

    def test_timeout(self, real_client):
        assert real_client.with_timeout(2).timeout == 2


def test_events_are_published():
    bus = EventBus()
    client = PaymentClient("https://test.shop.example", notifier=PaymentNotifier(bus))
    client.capture("r-1")
    assert bus.seen[0][0] == "payment_captured"


def test_wire_is_used():
    client = PaymentClient("https://test.shop.example")
    with patch("shop.payments.wire.WireClient.send", return_value="r-9"):
        assert client.void("r-1") == "r-9"


def test_factory(stub_settings):
    assert make_client(stub_settings).endpoint == "stub-payments.endpoint"


def test_open_client():
    assert asyncio.run(open_client("https://a.shop.example")).endpoint == "https://a.shop.example"
