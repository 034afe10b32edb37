"""Scheduled jobs."""

import functools
import importlib
import logging

from shop.payments.client import PaymentClient
from shop.payments.compat import (
    CardClient,
    KlarnaClient,
)
from shop.payments.offline import FileJournal, MemoryJournal, OfflineClient

logger = logging.getLogger("shop.payments.client")

NAMES = ("nightly", "weekly")

for _name in NAMES:
    globals()["JOB_" + _name.upper()] = _name

quick_client = functools.partial(PaymentClient, timeout=1.0)


def nightly():
    client = OfflineClient("https://offline.shop.example", journal=MemoryJournal())
    client.charge("nightly-fee", 5)


def weekly():
    invoices = KlarnaClient("https://invoices.shop.example", journal=FileJournal())
    invoices.settle()
    cards = CardClient(api_key="k-weekly")
    cards.payout("acc-1", 300)


def sweep():
    from shop.payments.braintree import BraintreeClient

    BraintreeClient("https://bt.shop.example").charge("sweep", 1)


def sweep_softly():
    try:
        from shop.payments.braintree import BraintreeClient
    except ImportError:
        logger.info("see shop.payments.client for the replacement")
        return 0
    return BraintreeClient("https://bt.shop.example").refund("sweep", 1)


def warm_up():
    importlib.import_module("shop.payments.factory")
    return __import__("shop.settings")


def totals():
    from shop.reports.daily import weekly_totals
    from shop.shims import Decimal

    return Decimal(weekly_totals())
