"""Amounts, as the workers know them."""

SYMBOLS = {"EUR": "EUR ", "SEK": "SEK "}


def format_amount(amount, currency):
    return f"{SYMBOLS[currency]}{amount / 100:.2f}"


def add_tax(amount, percent):
    return int(amount * (100 + percent) / 100)
