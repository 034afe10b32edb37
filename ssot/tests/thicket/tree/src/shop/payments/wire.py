"""Transport beneath shop.payments.client.PaymentClient and its peers."""

from abc import ABC, abstractmethod
from typing import Protocol


class PaymentPort(Protocol):
    def charge(self, order_id, amount): ...

    def refund(self, reference, amount): ...

    def capture(self, reference): ...


class AbstractClient(ABC):
    @abstractmethod
    def charge(self, order_id, amount):
        """Take the money."""

    @abstractmethod
    def refund(self, reference, amount):
        raise NotImplementedError

    @abstractmethod
    def capture(self, reference):
        pass


class WireClient:
    def __init__(self, endpoint, timeout):
        self.endpoint = endpoint
        self.timeout = timeout

    def send(self, path, subject):
        return f"{path}-{subject}"


class TransferKernel:
    def __init__(self):
        self.rows = []

    def charge(self, order_id, amount):
        self.rows.append(("charge", order_id, amount))
        return f"T-{order_id}"

    def refund(self, reference, amount):
        self.rows.append(("refund", reference, amount))
        return reference

    def capture(self, reference):
        self.rows.append(("capture", reference, 0))
        return reference
