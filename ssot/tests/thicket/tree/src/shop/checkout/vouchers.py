"""Gift vouchers."""

from shop.payments.wire import PaymentPort


class VoucherDesk(PaymentPort):
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.balance = {}

    def charge(self, order_id, amount):
        self.balance[order_id] = self.balance.get(order_id, 0) - amount
        return order_id

    def refund(self, reference, amount):
        self.balance[reference] = self.balance.get(reference, 0) + amount
        return reference

    def capture(self, reference):
        return self.balance[reference]


def peek(code):
    desk = VoucherDesk("https://vouchers.shop.example")
    try:
        desk.lookup(code)
    except AttributeError:
        pass
