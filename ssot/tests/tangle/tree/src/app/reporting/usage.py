"""Usage by user."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.billing.meter import meter_tokens
from app.engine.user_engine import ScopedEngine

from ..clock import since

if TYPE_CHECKING:
    from app.ids import UserId


class UsageReport:
    def __init__(self, emitter):
        self.engine = ScopedEngine("usage", emitter)

    def row(self, user: UserId, start):
        return (user, meter_tokens(user), since(start))
