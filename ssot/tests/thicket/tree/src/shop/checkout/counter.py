"""Payments over the counter."""


class CounterSettings:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.options = {"currency": "EUR"}
        self.drawer = 0

    def get(self, key, default=None):
        return self.options.get(key, default)

    def require(self, key):
        return self.options[key]

    def charge(self, order_id, amount):
        self.drawer += amount
        return order_id

    def refund(self, reference, amount):
        self.drawer -= amount
        return reference

    def capture(self, reference):
        return (reference, self.drawer)


class SandboxTill:
    drawer_limit = 500

    class Client:
        def __init__(self, endpoint):
            self.endpoint = endpoint

        def charge(self, order_id, amount):
            return f"sandbox-{order_id}-{amount}"

        def refund(self, reference, amount):
            return f"sandbox-{reference}-{amount}"

        def capture(self, reference):
            return f"sandbox-{reference}"


def rehearse(order_id):
    class RehearsalClient:
        def charge(self, order_id, amount):
            return (order_id, amount)

        def refund(self, reference, amount):
            return (reference, amount)

        def capture(self, reference):
            return reference

    return RehearsalClient().capture(order_id)
