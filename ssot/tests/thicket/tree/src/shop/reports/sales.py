"""Sales by tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shop.checkout.baskets import merge_baskets
from shop.settings import CachedSettings

from ..money import add_tax

if TYPE_CHECKING:
    from shop.money import Amount


class SalesReport:
    def __init__(self, values):
        self.settings = CachedSettings(values)

    def gross(self, net: Amount):
        return add_tax(net, self.settings.get("tax", 25))

    def baskets(self, rows):
        return merge_baskets(rows)
