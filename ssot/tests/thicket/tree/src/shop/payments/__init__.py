"""Payments."""

from .client import PaymentClient
from .factory import make_client

__all__ = ["PaymentClient", "make_client"]
