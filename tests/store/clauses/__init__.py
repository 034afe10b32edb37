"""The conformance suite: checks for each clause of goldenpath.store.interface, on any store.

A check takes a `Site`, which opens the store under test and opens it again after its process died.
Importing this package registers them all, by concept.
"""

from tests.store.clauses import (
    appending,
    erasing,
    inbox,
    keeping,
    leases,
    projections,
    reading,
    receipts,
)
from tests.store.harness import CHECKS

__all__ = [
    "CHECKS",
    "inbox",
    "appending",
    "reading",
    "leases",
    "projections",
    "receipts",
    "erasing",
    "keeping",
]
