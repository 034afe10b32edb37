"""Identifiers."""

import itertools

_numbers = itertools.count(1)


def next_id(prefix):
    return f"{prefix}-{next(_numbers)}"


def split_id(value):
    prefix, _, number = value.rpartition("-")
    return prefix, int(number)
