"""schemathesis throws what the OpenAPI document allows, and what it does not, at a real server."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from goldenpath import App, RunContext, agent
from goldenpath.server.table import OPERATIONS
from goldenpath.testing import AppServer

EXAMPLES = int(os.environ.get("API_EXAMPLES", "15"))
"""For each operation; `make proof` asks for more."""


LABELS = [f"{one.method} {one.path}" for one in OPERATIONS]


_CURSOR = "a cursor is one that the server gave"
REFUSED = {
    "GET /v1/threads": _CURSOR,
    "GET /v1/threads/{thread_id}/messages": _CURSOR,
    "GET /v1/runs/{run_id}/events": _CURSOR,
    "POST /v1/ack": "a position is one of this log",
    "POST /v1/attachments": "this version takes none",
    "POST /v1/threads/{thread_id}/messages": "an agent is one that there is",
    "PATCH /v1/threads/{thread_id}": "a title or `archived` must be given",
    "GET /v1/search": "there must be a word in the query",
}
"""Why data that fits the document may be refused: what no schema can say."""


@agent("echo")
async def echo(run: RunContext, message: str) -> str:
    return message or "nothing"


@pytest.fixture(scope="module")
def server() -> Iterator[AppServer]:
    with AppServer(App(agents=[echo], limit_commands_per_minute=1_000_000)) as running:
        yield running


@pytest.fixture(scope="module")
def operations(server: AppServer) -> dict[str, Any]:
    """What the document names, by method and path."""
    document = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    found = [result.ok() for result in document.get_all_operations()]
    return {one.label: one for one in found}


def test_the_document_names_every_operation(operations: dict[str, Any]) -> None:
    assert set(operations) >= set(LABELS)


@pytest.mark.parametrize("mode", ["positive", "negative"])
@pytest.mark.parametrize("label", LABELS)
def test_an_operation_does_what_the_document_says(
    label: str, mode: str, operations: dict[str, Any], server: AppServer
) -> None:
    cases = operations[label].as_strategy(generation_mode=GenerationMode(mode))
    excluded = [positive_data_acceptance] if label in REFUSED else []
    headers = {"Authorization": f"Bearer {server.token('ada')}"}

    @given(case=cases)
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize="API_EXAMPLES" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )
    def throw(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers, excluded_checks=excluded)

    throw()
