"""Figures of the day."""

from shop.mail.outbox import template_daily
from shop.money import format_amount

ROWS = {"daily": [1200, 800], "weekly": [9100, 4000]}


def daily_totals():
    return sum(ROWS["daily"])


def headline():
    return f"{template_daily}: {format_amount(daily_totals(), 'EUR')}"


def __getattr__(name):
    if name == "weekly_totals":
        return lambda: sum(ROWS["weekly"])
    raise AttributeError(name)
