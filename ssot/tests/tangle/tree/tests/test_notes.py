"""Cases for release notes."""

NOTE = {"version": "5.1.0", "lines": 2}


def lines_of(note):
    return note["lines"]
