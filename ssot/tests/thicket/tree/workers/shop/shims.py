"""Numbers, as the workers know them."""

CENT = 0.01


def quantised(value):
    return round(float(value), 2)


def as_text(value):
    return f"{quantised(value):.2f}"
