"""Numeric names in one place."""

from decimal import *

CENT = "0.01"


def quantised(value):
    return Decimal(value).quantize(Decimal(CENT))


def as_text(value):
    return format(quantised(value), "f")
