"""OpenAPI 3.1 of the HTTP API, made from its table of operations."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from goldenpath.server.calls import IDEMPOTENCY_KEY, Operation
from goldenpath.server.problems import MEDIA_TYPE, STATUS
from goldenpath.server.shapes import Problem

_REF = "#/components/schemas/{name}"
_QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
    "cursor": {"type": "string", "description": "`next` of the page before"},
    "q": {"type": "string", "minLength": 1, "description": "words, or beginnings of words"},
}


def openapi(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Make the document."""
    types = [op.body for op in operations if op.body] + [
        op.answer for op in operations if op.answer
    ]
    _, schemas = msgspec.json.schema_components([*types, Problem], ref_template=_REF)
    paths: dict[str, Any] = {}
    for op in operations:
        paths.setdefault(op.path, {})[op.method.lower()] = _operation(op)
    paths["/v1/events"] = {"get": _EVENTS}
    paths["/v1/socket"] = {"get": _SOCKET}
    for path, summary in (("/healthz", "Alive"), ("/readyz", "Able to accept")):
        paths[path] = {
            "get": {
                "operationId": path[1:],
                "summary": summary,
                "security": [],
                "responses": {
                    "200": {"description": "Yes"},
                    "503": {"description": "No, and why"},
                },
            }
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Goldenpath",
            "version": version,
            "description": "Durable delivery of AI agents' answers.",
        },
        "servers": [{"url": ".", "description": "Where this document is served"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            },
        },
        "security": [{"token": []}],
    }


def _operation(op: Operation) -> dict[str, Any]:
    names: list[str] = re.findall(r"{(\w+)}", op.path)
    parameters: list[dict[str, Any]] = [
        {"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names
    ]
    parameters += [
        {"name": n, "in": "query", "required": n == "q", "schema": _QUERY[n]} for n in op.query
    ]
    if op.mutates:
        parameters.append(
            {
                "name": IDEMPOTENCY_KEY,
                "in": "header",
                "required": False,
                "description": "The command's id; sent twice it is one command.",
                "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
            }
        )
    ok: dict[str, Any] = {"description": op.summary}
    if op.answer is not None:
        ok["content"] = {"application/json": {"schema": _ref(op.answer)}}
    responses: dict[str, Any] = {str(op.status): ok} if op.status < 400 else {}
    by_status: dict[int, list[str]] = {}
    codes = {*op.errors, "unauthenticated", "unavailable"}
    if op.query or op.mutates:
        codes.add("invalid_field")
    if op.method != "GET":
        codes |= {"forbidden", "invalid_json", "too_large", "invalid_field"}
    for code in sorted(codes):
        by_status.setdefault(STATUS[code], []).append(code)
    for status, found in sorted(by_status.items()):
        responses[str(status)] = {
            "description": ", ".join(found),
            "content": {MEDIA_TYPE: {"schema": _ref(Problem)}},
        }
    name = re.sub(r"\W+", "_", f"{op.method.lower()}{op.path.removeprefix('/v1')}").strip("_")
    result: dict[str, Any] = {
        "operationId": name,
        "summary": op.summary,
        "parameters": parameters,
        "responses": responses,
    }
    if op.body is not None:
        content = {"application/json": {"schema": _ref(op.body)}}
        result["requestBody"] = {"required": True, "content": content}
    return result


def _ref(type_: type[msgspec.Struct]) -> dict[str, str]:
    return {"$ref": _REF.format(name=type_.__name__)}


_EVENTS: dict[str, Any] = {
    "operationId": "get_events",
    "summary": "The log as Server-Sent Events",
    "parameters": [
        {"name": "after", "in": "query", "schema": {"type": "integer", "minimum": 0}},
        {"name": "mark", "in": "query", "schema": {"type": "string"}},
        {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
    ],
    "responses": {
        "200": {"description": "Frames", "content": {"text/event-stream": {}}},
        "401": {"description": "unauthenticated", "content": {MEDIA_TYPE: {}}},
        "422": {"description": "invalid_field", "content": {MEDIA_TYPE: {}}},
        "429": {"description": "rate_limited", "content": {MEDIA_TYPE: {}}},
    },
}
_SOCKET: dict[str, Any] = {
    "operationId": "get_socket",
    "summary": "The native protocol over a WebSocket",
    "responses": {
        "101": {"description": "Upgraded"},
        "401": {"description": "unauthenticated", "content": {MEDIA_TYPE: {}}},
        "403": {"description": "forbidden", "content": {MEDIA_TYPE: {}}},
    },
}

DOCS_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Goldenpath HTTP API</title>
<style>
body{font:16px/1.5 system-ui,sans-serif;max-width:56rem;margin:2rem auto;padding:0 1rem}
code{font-family:ui-monospace,monospace}h2{margin:2rem 0 .25rem;font-size:1rem}
.m{display:inline-block;min-width:4.5rem;font-weight:700}p{margin:.1rem 0 .1rem 4.5rem;color:#555}
@media(prefers-color-scheme:dark){body{background:#14161a;color:#e6e6e6}p{color:#aaa}}
</style>
<h1>Goldenpath HTTP API</h1>
<p style="margin:0">The machine-readable document is <a href="openapi.json">openapi.json</a>.</p>
%s
</html>"""


def docs_page(document: dict[str, Any]) -> str:
    """A page that lists the operations; self-contained."""
    rows: list[str] = []
    for path, methods in document["paths"].items():
        for method, op in methods.items():
            answers = ", ".join(f"{s} {r['description']}" for s, r in op["responses"].items())
            rows.append(
                f'<h2><span class="m">{method.upper()}</span><code>{path}</code></h2>'
                f"<p>{op['summary']}</p><p><small>{answers}</small></p>"
            )
    return DOCS_PAGE % "\n".join(rows)
