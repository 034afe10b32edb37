"""The whole suite: importing the modules registers their checks."""

from __future__ import annotations

from tests.store import clauses_busy, clauses_exact
from tests.store.clauses import CHECKS

__all__ = ["CHECKS", "clauses_busy", "clauses_exact"]
