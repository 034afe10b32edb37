"""Names of the standard library in one place."""

from itertools import *

PAGE = 20


def pages(rows):
    rows = list(rows)
    return [rows[start : start + PAGE] for start in range(0, len(rows), PAGE)]
