"""Many payments at once."""

from shop.payments.wire import PaymentPort


class BatchClient(PaymentPort):
    def __init__(self, endpoint, timeout=30.0):
        self.endpoint = endpoint
        self.timeout = timeout
        self.pending = []

    def charge(self, order_id, amount):
        self.pending.append((order_id, amount))
        return f"B-{order_id}"

    def refund(self, reference, amount):
        self.pending.append((reference, -amount))
        return reference

    def capture(self, reference):
        self.pending = [row for row in self.pending if row[0] != reference]
        return reference
