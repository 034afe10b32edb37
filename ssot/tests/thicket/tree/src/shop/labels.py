"""Shipping labels."""


def address_lines(address):
    lines = [address["name"], address["street"]]
    if address.get("country") != "SE":
        lines.append(address["country"]
    return lines


def barcode(parcel_id):
    return f"*{parcel_id:>010}*"
