"""Names that partner teams may import."""

from shop.payments import PaymentClient

PARTNERS = ("acme", "globex")


def is_partner(name):
    return name.lower() in PARTNERS


def partner_endpoints():
    return {name: f"https://{name}.shop.example" for name in PARTNERS}
