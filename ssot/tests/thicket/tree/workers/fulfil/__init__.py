"""Fulfilment workers."""

from shop.gateways import PaymentClient

__all__ = ["PaymentClient"]
