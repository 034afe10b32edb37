"""Cases for delivery notes."""

NOTE = {"order": "o-1", "lines": 2}


def lines_of(note):
    return note["lines"]


def order_of(note):
    return note["order"]
