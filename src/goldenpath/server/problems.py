"""Errors of requests as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from starlette.responses import Response

from goldenpath.errors import RefusedError

STATUS: dict[str, int] = {
    "invalid_json": 400,
    "unknown_type": 400,
    "invalid_field": 422,
    "too_large": 413,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "unknown_agent": 422,
    "busy": 409,
    "queue_full": 429,
    "rate_limited": 429,
    "id_reused": 409,
    "already_decided": 409,
    "run_ended": 409,
    "unavailable": 503,
}
"""HTTP status of each code of the protocol."""
MEDIA_TYPE = "application/problem+json"


def problem_body(error: RefusedError, status: int | None = None) -> tuple[int, bytes]:
    """Status and body of an error."""
    status = status or STATUS.get(error.code, 400)
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": error.message,
        "code": error.code,
        "message": error.message,
        "retryable": error.retryable,
    }
    return status, msgspec.json.encode(body)


def problem(
    error: RefusedError, *, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response:
    """The answer to a request that was refused."""
    status, body = problem_body(error, status)
    told = {"Cache-Control": "no-store", **(headers or {})}
    if status == HTTPStatus.UNAUTHORIZED:
        told["WWW-Authenticate"] = "Bearer"
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        told["Retry-After"] = "1"
    return Response(body, status, told, MEDIA_TYPE)
