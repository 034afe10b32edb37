"""OpenAPI is made from the one table, and says what the server does."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from goldenpath.server.openapi import docs_page, openapi
from goldenpath.server.problems import STATUS
from goldenpath.server.table import OPERATIONS
from tests.server.kit import Site

pytestmark = pytest.mark.anyio
DOCUMENT = openapi(OPERATIONS, "1.2.3")
PROTOCOL = {
    "/v1/events": {"get"},
    "/v1/ack": {"post"},
    "/v1/me": {"get", "delete"},
    "/v1/agents": {"get"},
    "/v1/threads": {"get", "post"},
    "/v1/threads/{thread_id}": {"get", "patch", "delete"},
    "/v1/threads/{thread_id}/messages": {"get", "post"},
    "/v1/runs/{run_id}": {"get"},
    "/v1/runs/{run_id}/events": {"get"},
    "/v1/runs/{run_id}/cancel": {"post"},
    "/v1/approvals/{approval_id}": {"post"},
    "/v1/attachments": {"post"},
    "/v1/search": {"get"},
    "/v1/socket": {"get"},
    "/healthz": {"get"},
    "/readyz": {"get"},
}


def schema(name: str) -> Draft202012Validator:
    components = {"components": DOCUMENT["components"]}
    return Draft202012Validator({**components, "$ref": f"#/components/schemas/{name}"})


def test_the_table_is_the_protocols() -> None:
    assert {path: set(methods) for path, methods in DOCUMENT["paths"].items()} == PROTOCOL


def test_it_is_a_document_of_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    assert {"title", "version"} <= set(DOCUMENT["info"])
    ids: list[str] = []
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            ids.append(operation["operationId"])
            named = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert named == set(re.findall(r"{(\w+)}", path))
            assert operation["responses"]
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[1-5][0-9][0-9]", status)
                assert response["description"]
    assert len(ids) == len(set(ids))
    for one in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(one)


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        found = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return found + [r for inner in value.values() for r in references(inner)]
    if isinstance(value, list):
        return [r for inner in value for r in references(inner)]
    return []


def test_every_reference_has_its_target() -> None:
    names = {f"#/components/schemas/{name}" for name in DOCUMENT["components"]["schemas"]}
    found = set(references(DOCUMENT))
    assert found
    assert found <= names


def test_mutations_take_an_idempotency_key_and_reads_do_not() -> None:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            taken = "Idempotency-Key" in {p["name"] for p in operation.get("parameters", [])}
            assert taken == (method != "get"), (method, path)


def test_every_code_that_an_operation_names_has_a_status() -> None:
    for operation in OPERATIONS:
        assert set(operation.errors) <= set(STATUS)


async def test_what_the_server_answers_is_what_the_document_says(site: Site) -> None:
    done = await site.ask("hello")
    paths = {
        "/v1/me": "Me",
        "/v1/agents": "Agents",
        "/v1/threads": "Threads",
        f"/v1/threads/{done['thread_id']}": "Thread",
        f"/v1/threads/{done['thread_id']}/messages": "Messages",
        f"/v1/runs/{done['run_id']}": "RunBody",
        "/v1/search?q=hello": "SearchHits",
        "/v1/runs/none": "Problem",
    }
    async with site.http() as web:
        for path, name in paths.items():
            schema(name).validate((await web.get(path)).json())
        assert (await web.get("/openapi.json")).json()["paths"] == DOCUMENT["paths"]


def test_the_page_needs_nothing_from_elsewhere() -> None:
    page = docs_page(DOCUMENT)

    class Links(HTMLParser):
        found: list[str] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.found += [value or "" for name, value in attrs if name in ("src", "href")]
            assert tag != "script"

    links = Links()
    links.feed(page)
    assert links.found == ["openapi.json"]
    assert all(path in page for path in PROTOCOL)
