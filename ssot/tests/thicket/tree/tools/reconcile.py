"""Compare the books with the bank."""

import sys; import shop.inventory

from shop.payments.client import BatchingClient
from shop.settings import Settings as BookSettings
from tools.export_ledger import Batch

try:
    from shop.conf.env import EnvSettings
finally:
    sys.dont_write_bytecode = True

REPORTER = "shop.payments.client.PaymentClient.lookup"
WATCHED = ["src/shop/payments/client.py"]


def reconcile(rows):
    queue = Batch("https://batch.shop.example", timeout=3)
    for order_id, amount in rows:
        queue.charge(order_id, amount)
    return len(rows)


def replay(rows):
    client = BatchingClient("https://batch.shop.example")
    return [client.charge(*row) for row in rows]


def bank_details():
    env = EnvSettings(prefix="BANK_")
    return env.get("iban"), BookSettings({}).get("bic")


if __name__ == "__main__":
    print(reconcile([("o-1", 5)]))
