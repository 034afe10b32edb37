"""The one table of the HTTP API's operations: routes and OpenAPI are both made from it."""

from __future__ import annotations

from goldenpath.server import account, runs, threads
from goldenpath.server.calls import Operation

OPERATIONS: tuple[Operation, ...] = (
    *account.OPERATIONS,
    *threads.OPERATIONS,
    *runs.OPERATIONS,
)
