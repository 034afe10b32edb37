from unittest.mock import patch

from shop.checkout.ledger import LedgerBook
from shop.checkout.service import CheckoutService
from shop.checkout.vouchers import VoucherDesk
from shop.payments.bridge import CheckoutClient
from shop.payments.events import EventBus

LEDGER = "src/shop/checkout/ledger.py"


class RecordingClient(CheckoutClient):
    def describe(self):
        return f"recording {self._client}"


def test_place(fake_client):
    service = CheckoutService(fake_client, EventBus())
    assert service.place("o-1", 100) == "fake-o-1"


def test_failed_orders(real_client):
    service = CheckoutService(real_client, EventBus())
    assert service.place("o-2", -100) is None
    assert service.failed == ["o-2"]


def test_ledger_rows():
    book = LedgerBook("https://ledger.shop.example")
    book.charge("o-3", 5)
    assert book.rows == [("debit", "T-o-3", 5)]


def test_vouchers():
    desk = VoucherDesk("https://vouchers.shop.example")
    desk.charge("v-1", 5)
    assert desk.refund("v-1", 5) == "v-1"


def test_place_through_bridge(fake_client):
    service = CheckoutService(RecordingClient(fake_client), EventBus())
    assert service.place("o-5", 100) == "fake-o-5"


def test_pay_later_is_not_called(monkeypatch, fake_client):
    monkeypatch.setattr("shop.payments.klarna.KlarnaClient.charge", None)
    with patch("shop.payments.klarna.KlarnaClient"):
        service = CheckoutService(fake_client, EventBus())
        assert service.place("o-4", 100) == "fake-o-4"
