"""Amounts in minor units."""

SYMBOLS = {"EUR": "€", "SEK": "kr", "GBP": "£"}


def format_amount(amount, currency):
    whole, cents = divmod(amount, 100)
    return f"{SYMBOLS[currency]}{whole}.{cents:02d}"


def add_tax(amount, percent):
    return amount + round(amount * percent / 100)


def split_evenly(amount, parts):
    share, rest = divmod(amount, parts)
    return [share + (1 if index < rest else 0) for index in range(parts)]
