from shop.money import refund_share
from shop.payments.client import PaymentClient


def test_refund_share():
    assert refund_share(100, 2) == 50


def test_refund():
    assert PaymentClient("https://test.shop.example").refund("r-1", 5) == "refunds-r-1"
