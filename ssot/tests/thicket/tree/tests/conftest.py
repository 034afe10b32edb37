import pytest

from shop.payments.client import PaymentClient as RealClient
from shop.payments.wire import PaymentPort
from shop.settings import Settings


class FakePaymentClient:
    def __init__(self):
        self.calls = []

    def charge(self, order_id, amount):
        self.calls.append(("charge", order_id, amount))
        return f"fake-{order_id}"

    def refund(self, reference, amount):
        self.calls.append(("refund", reference, amount))
        return reference

    def capture(self, reference):
        self.calls.append(("capture", reference))
        return reference


class SilentPort(PaymentPort):
    def charge(self, order_id, amount):
        return ""


class StubSettings(Settings):
    def require(self, key):
        return f"stub-{key}"


class MailboxClient:
    def read(self):
        return []


@pytest.fixture
def fake_client():
    return FakePaymentClient()


@pytest.fixture
def silent_port():
    return SilentPort()


@pytest.fixture
def stub_settings():
    return StubSettings({})


@pytest.fixture
def real_client():
    return RealClient("https://test.shop.example")


@pytest.fixture
def mailbox():
    return MailboxClient()
