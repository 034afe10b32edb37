"""What must not be: one rule in each module, with cases that show it and cases that do not."""

from ssot.rules.base import Case, Rule, Violation
from ssot.rules.registry import RULES

__all__ = ["RULES", "Case", "Rule", "Violation"]
