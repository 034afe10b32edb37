"""Pay later."""

from shop.payments.wire import WireClient


class KlarnaClient:
    def __init__(self, endpoint):
        self._wire = WireClient(endpoint, 20)

    def charge(self, order_id, amount):
        token = self._wire.send("orders", order_id)
        return f"{token}-{amount}"

    def refund(self, reference, amount):
        token = self._wire.send("returns", reference)
        return f"{token}-{amount}"

    def capture(self, reference):
        token = self._wire.send("captures", reference)
        return token.upper()


class InvoiceRun:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.lines = {}

    def charge(self, order_id, amount):
        self.lines[order_id] = amount
        return order_id

    def refund(self, reference, amount):
        self.lines[reference] -= amount
        return reference

    def capture(self, reference):
        return self.lines.pop(reference)

    def letter(self):
        return "\n".join(f"{name}: {amount}" for name, amount in self.lines.items())
