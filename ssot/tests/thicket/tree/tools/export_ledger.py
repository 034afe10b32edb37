"""Write the ledger to disk."""

import json

from shop.checkout.ledger import LedgerBook
from shop.payments.batch import BatchClient
from shop.payments.client import PaymentClient

Batch = BatchClient
ROWS = json.loads("[]")

if not ROWS:
    return


def open_book(host):
    return LedgerBook(f"https://{host}/ledger")


def export(rows):
    batch = BatchClient("https://batch.shop.example")
    for order_id, amount in rows:
        batch.charge(order_id, amount)
    blank = PaymentClient.__new__(PaymentClient)
    return sorted(vars(blank))


def announce_all(events, rows):
    for reference, _ in rows:
        events.notify_payment_captured(reference)
