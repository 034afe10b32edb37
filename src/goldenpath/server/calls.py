"""One HTTP request: who asks, its body and id, checked the same way for every operation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from goldenpath.errors import UNREADABLE, InvalidError, RefusedError, StoreUnavailableError
from goldenpath.model.commands import AnyCommand
from goldenpath.model.ids import CommandId, UserId, is_client_id
from goldenpath.server import shapes
from goldenpath.server.auth import Principal, origin_allowed
from goldenpath.server.problems import problem
from goldenpath.server.service import Service

T = TypeVar("T")
IDEMPOTENCY_KEY = "Idempotency-Key"


def not_found() -> RefusedError:
    """The one answer for what does not exist and for what is another user's."""
    return RefusedError("not_found", "There is no such thing.")


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request. `body` is of the operation's type."""

    service: Service
    request: Request
    principal: Principal
    body: Any
    command_id: CommandId

    @property
    def user(self) -> UserId:
        """Who asks; every read and write names it."""
        return self.principal.user

    def path(self, name: str) -> str:
        """A part of the path."""
        return self.request.path_params[name]

    async def settle(self, command: AnyCommand) -> shapes.AcceptedBody:
        """Submit a command and wait for its receipt. Raises RefusedError."""
        settled = await self.service.host.submit(self.user, self.command_id, command)
        return shapes.AcceptedBody.of(settled.receipt, settled.duplicate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A row of the table of routes: what OpenAPI tells, and what is called."""

    method: str
    path: str
    summary: str
    handler: Callable[[Call], Awaitable[Response]]
    answer: type[msgspec.Struct] | None = None
    status: int = 200
    body: type[msgspec.Struct] | None = None
    query: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    """Codes beside those that follow from the rest of the row."""

    @property
    def mutates(self) -> bool:
        """True if it takes an `Idempotency-Key`."""
        return self.method != "GET"


def json_response(body: msgspec.Struct, status: int = 200) -> Response:
    """An answer that no cache keeps."""
    return Response(
        msgspec.json.encode(body),
        status,
        {"Cache-Control": "no-store"},
        media_type="application/json",
    )


def route(service: Service, operation: Operation) -> Route:
    """The Starlette route of an operation."""

    async def endpoint(request: Request) -> Response:
        try:
            principal = await service.auth.authenticate(request)
        except RefusedError as error:
            return problem(error)
        if not operation.mutates:
            return await _answered(service, operation, request, principal, CommandId(""))
        given = request.headers.get(IDEMPOTENCY_KEY)
        if given is not None and not is_client_id(given):
            return problem(InvalidError(f"{IDEMPOTENCY_KEY}: must be 1 to 64 of A-Z a-z 0-9 _ -"))
        command_id = CommandId(given or service.host.ids.new())
        response = await _answered(service, operation, request, principal, command_id)
        # Told with a refusal as well: whoever tries again does so with the same id.
        response.headers[IDEMPOTENCY_KEY] = command_id
        return response

    return Route(operation.path, endpoint, methods=[operation.method])


async def _answered(
    service: Service,
    operation: Operation,
    request: Request,
    principal: Principal,
    command_id: CommandId,
) -> Response:
    try:
        if operation.mutates and not origin_allowed(request, service.settings.allow_origins):
            raise RefusedError("forbidden", "This origin may not ask that.")
        unknown = sorted(set(request.query_params) - set(operation.query))
        if unknown:
            raise InvalidError(f"{unknown[0][:40]}: there is no such parameter")
        body = await _read_body(service, request, operation.body) if operation.mutates else None
        return await operation.handler(Call(service, request, principal, body, command_id))
    except RefusedError as error:
        return problem(error)
    except StoreUnavailableError:
        return problem(RefusedError("unavailable", "The store does not answer.", retryable=True))


async def _read_body(service: Service, request: Request, type_: type[T] | None) -> T | None:
    """Read a body of bounded size in bounded time, and decode it strictly."""
    most = service.host.limits.frame_bytes
    data = bytearray()
    try:
        async with asyncio.timeout(service.settings.body_seconds):
            async for chunk in request.stream():
                data += chunk
                if len(data) > most:
                    raise RefusedError("too_large", f"A body may have {most} bytes.")
    except TimeoutError:
        raise InvalidError("The body did not come in time.", code="invalid_json") from None
    except ClientDisconnect:
        raise InvalidError("The body broke off.", code="invalid_json") from None
    if type_ is None:
        if bytes(data).strip() not in (b"", b"{}"):
            raise InvalidError("This takes no body.")
        return None
    return decode_body(bytes(data) or b"{}", type_)


def decode_body(data: bytes, type_: type[T]) -> T:
    """Decode JSON strictly. Raises InvalidError: `invalid_json`, or `invalid_field`."""
    try:
        return msgspec.json.decode(data, type=type_)
    except msgspec.ValidationError as error:
        reason = str(error)
    except UNREADABLE as error:
        raise InvalidError(f"Not JSON: {error}", code="invalid_json") from None
    try:
        msgspec.json.decode(data)
    except UNREADABLE as error:
        raise InvalidError(f"Not JSON: {error}", code="invalid_json") from None
    raise InvalidError(reason)
