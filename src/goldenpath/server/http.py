"""The HTTP API: one table of routes, from which OpenAPI is made as well."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from goldenpath.engine.host import EngineHost
from goldenpath.errors import (
    InvalidError,
    PositionError,
    RefusedError,
    StoreUnavailableError,
)
from goldenpath.model.commands import (
    AnyCommand,
    Cancel,
    CreateThread,
    Decide,
    DeleteThread,
    Send,
    UpdateThread,
)
from goldenpath.model.entries import decode
from goldenpath.model.ids import (
    ApprovalId,
    CommandId,
    DeviceId,
    Mark,
    RunId,
    Seq,
    ThreadId,
    is_client_id,
)
from goldenpath.model.views import RunRow
from goldenpath.server import shapes
from goldenpath.server.auth import Authenticator, Principal, origin_allowed
from goldenpath.server.problems import problem
from goldenpath.server.settings import ServerSettings
from goldenpath.server.snippets import snippet
from goldenpath.server.socket import SocketEndpoint
from goldenpath.store.interface import History, Position
from goldenpath.store.words import words_of

T = TypeVar("T")
_MOST_ITEMS = 200
_DEFAULT_ITEMS = 50
_MOST_WORDS = 16


def not_found() -> RefusedError:
    """The one answer for what does not exist and for what is another user's."""
    return RefusedError("not_found", "There is no such thing.")


@dataclass(frozen=True)
class Call:
    """One authenticated request."""

    request: Request
    principal: Principal
    body: Any
    command_id: CommandId

    def path(self, name: str) -> str:
        return self.request.path_params[name]


@dataclass(frozen=True)
class Operation:
    """A row of the table: what OpenAPI tells, and what is called."""

    method: str
    path: str
    summary: str
    handler: Callable[[Call], Awaitable[Response]]
    answer: type[msgspec.Struct] | None
    status: int = 200
    body: type[msgspec.Struct] | None = None
    query: tuple[str, ...] = ()
    mutates: bool = False
    errors: tuple[str, ...] = field(default_factory=lambda: ("unauthenticated",))


class Api:
    """Handlers of the HTTP API over one host."""

    def __init__(
        self,
        host: EngineHost,
        auth: Authenticator,
        settings: ServerSettings,
        endpoint: SocketEndpoint,
    ) -> None:
        self._host = host
        self._store = host.store
        self._auth = auth
        self._settings = settings
        self._endpoint = endpoint
        page = ("limit", "cursor")
        self.operations: list[Operation] = [
            Operation("GET", "/v1/me", "Who I am, and what I may", self._me, shapes.Me),
            Operation(
                "DELETE", "/v1/me", "Erase everything of mine", self._forget, None, 204,
                mutates=True, errors=("unauthenticated", "unavailable"),
            ),
            Operation("GET", "/v1/agents", "What can be run", self._agents, shapes.Agents),
            Operation(
                "POST", "/v1/ack", "Acknowledge, for readers without a socket", self._ack, None,
                204, shapes.AckBody, errors=("unauthenticated", "invalid_field"),
            ),
            Operation("GET", "/v1/threads", "Threads, newest first", self._threads,
                      shapes.Threads, query=page),
            Operation(
                "POST", "/v1/threads", "Create a thread", self._create_thread, shapes.Thread, 201,
                shapes.ThreadBody, mutates=True,
                errors=("unauthenticated", "invalid_field", "id_reused", "rate_limited",
                        "unavailable"),
            ),
            Operation("GET", "/v1/threads/{thread_id}", "One thread", self._thread,
                      shapes.Thread, errors=("unauthenticated", "not_found")),
            Operation(
                "PATCH", "/v1/threads/{thread_id}", "Rename or archive", self._patch_thread,
                shapes.Thread, 200, shapes.ThreadPatch, mutates=True,
                errors=("unauthenticated", "not_found", "invalid_field", "id_reused"),
            ),
            Operation(
                "DELETE", "/v1/threads/{thread_id}", "Erase a thread", self._delete_thread, None,
                204, mutates=True, errors=("unauthenticated", "not_found"),
            ),
            Operation("GET", "/v1/threads/{thread_id}/messages", "Questions and answers",
                      self._messages, shapes.Messages, query=page,
                      errors=("unauthenticated", "not_found")),
            Operation(
                "POST", "/v1/threads/{thread_id}/messages", "Ask an agent", self._send,
                shapes.AcceptedBody, 202, shapes.SendBody, mutates=True,
                errors=("unauthenticated", "not_found", "invalid_field", "too_large", "busy",
                        "queue_full", "rate_limited", "id_reused", "unavailable"),
            ),
            Operation("GET", "/v1/runs/{run_id}", "One run", self._run, shapes.RunBody,
                      errors=("unauthenticated", "not_found")),
            Operation("GET", "/v1/runs/{run_id}/events", "A run's events", self._run_events,
                      shapes.RunEvents, query=page, errors=("unauthenticated", "not_found")),
            Operation(
                "POST", "/v1/runs/{run_id}/cancel", "Cancel a run", self._cancel,
                shapes.AcceptedBody, 202, mutates=True,
                errors=("unauthenticated", "not_found", "run_ended"),
            ),
            Operation(
                "POST", "/v1/approvals/{approval_id}", "Decide an approval", self._decide,
                shapes.AcceptedBody, 202, shapes.DecideBody, mutates=True,
                errors=("unauthenticated", "not_found", "already_decided", "invalid_field"),
            ),
            Operation(
                "POST", "/v1/attachments", "Upload a file (not in this version)",
                self._attachments, None, 422, errors=("unauthenticated", "invalid_field"),
            ),
            Operation("GET", "/v1/search", "Search my questions and answers", self._search,
                      shapes.SearchHits, query=("q", "limit"),
                      errors=("unauthenticated", "invalid_field")),
        ]  # fmt: skip

    def routes(self) -> list[BaseRoute]:
        """Starlette routes of the table."""
        return [
            Route(op.path, self._endpoint_of(op), methods=[op.method]) for op in self.operations
        ]

    def _endpoint_of(self, op: Operation) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            try:
                return await self._call(op, request)
            except RefusedError as error:
                return problem(error)
            except StoreUnavailableError:
                return problem(
                    RefusedError("unavailable", "The store does not answer.", retryable=True)
                )

        return endpoint

    async def _call(self, op: Operation, request: Request) -> Response:
        principal = await self._auth.authenticate(request)
        unsafe = op.method != "GET"
        if unsafe and not origin_allowed(request, self._settings.allow_origins):
            raise RefusedError("forbidden", "This origin may not ask that.")
        unknown = sorted(set(request.query_params) - set(op.query))
        if unknown:
            raise InvalidError(f"{unknown[0][:40]}: there is no such parameter")
        body = await self._body(request, op.body) if unsafe else None
        given = request.headers.get("idempotency-key")
        if given is not None and not is_client_id(given):
            raise InvalidError("Idempotency-Key: must be 1 to 64 of A-Z a-z 0-9 _ -")
        command_id = CommandId(given or self._host.ids.new())
        response = await op.handler(Call(request, principal, body, command_id))
        if op.mutates:
            response.headers["Idempotency-Key"] = command_id
        return response

    async def _body(self, request: Request, type_: type[T] | None) -> T | None:
        """Read a body of bounded size in bounded time, and decode it strictly."""
        data = bytearray()
        try:
            async with asyncio.timeout(self._settings.body_seconds):
                async for chunk in request.stream():
                    data += chunk
                    if len(data) > self._host.limits.frame_bytes:
                        raise RefusedError(
                            "too_large",
                            f"A body may have {self._host.limits.frame_bytes} bytes.",
                        )
        except TimeoutError:
            raise InvalidError("The body did not come in time.", code="invalid_json") from None
        except ClientDisconnect:
            raise InvalidError("The body broke off.", code="invalid_json") from None
        if type_ is None:
            if data.strip() not in (b"", b"{}"):
                raise InvalidError("This takes no body.")
            return None
        try:
            return msgspec.json.decode(bytes(data) or b"{}", type=type_)
        except msgspec.ValidationError as error:
            raise InvalidError(str(error)) from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidError(f"Not JSON: {error}", code="invalid_json") from None

    async def _settle(self, call: Call, command: AnyCommand) -> shapes.AcceptedBody:
        settled = await self._host.submit(call.principal.user, call.command_id, command)
        return shapes.AcceptedBody.of(settled.receipt, settled.duplicate)

    # -- account -----------------------------------------------------------------------------

    async def _me(self, call: Call) -> Response:
        user = call.principal.user
        head = await self._store.head(user)
        running = await self._store.runs(user, "running", 1000)
        waiting = await self._store.runs(user, "waiting", 1000)
        return _json(
            shapes.Me(
                user_id=user,
                roles=sorted(call.principal.roles),
                limits=self._endpoint.limits,
                usage={"runs_running": len(running), "runs_waiting": len(waiting)},
                head=head.cursor,
                mark=head.mark,
            )
        )

    async def _forget(self, call: Call) -> Response:
        await self._host.forget(call.principal.user)
        await self._endpoint.sockets.end_user(call.principal.user)
        return Response(status_code=204)

    async def _agents(self, call: Call) -> Response:
        return _json(shapes.Agents(items=self._endpoint.agents))

    async def _ack(self, call: Call) -> Response:
        body: shapes.AckBody = call.body
        if not is_client_id(body.device):
            raise InvalidError("device: must be 1 to 64 of A-Z a-z 0-9 _ -")
        if body.cursor < 0:
            raise InvalidError("cursor: must be >= 0")
        position = Position(Mark(body.mark), Seq(body.cursor))
        try:
            await self._store.acknowledge(call.principal.user, DeviceId(body.device), position)
        except PositionError:
            raise InvalidError("cursor: is not a position of this log") from None
        return Response(status_code=204)

    # -- threads -----------------------------------------------------------------------------

    async def _threads(self, call: Call) -> Response:
        limit = _limit(call.request)
        before = _cursor(call.request)
        key = None if before is None else (int(before[0]), ThreadId(str(before[1])))
        rows = await self._store.threads(call.principal.user, limit + 1, key)
        more = len(rows) > limit
        rows = rows[:limit]
        following = _opaque(rows[-1].created_ms, rows[-1].thread_id) if more else None
        return _json(shapes.Threads(items=[shapes.Thread.of(r) for r in rows], next=following))

    async def _create_thread(self, call: Call) -> Response:
        accepted = await self._settle(call, CreateThread(title=_title(call.body.title)))
        return _json(await self._one_thread(call, accepted.thread_id), 201)

    async def _thread(self, call: Call) -> Response:
        return _json(await self._one_thread(call, call.path("thread_id")))

    async def _one_thread(self, call: Call, thread_id: str | None) -> shapes.Thread:
        row = await self._store.thread(call.principal.user, ThreadId(thread_id or ""))
        if row is None:
            raise not_found()
        return shapes.Thread.of(row)

    async def _patch_thread(self, call: Call) -> Response:
        body: shapes.ThreadPatch = call.body
        if body.title is None and body.archived is None:
            raise InvalidError("title or archived: one of them must be given")
        thread_id = await self._own_thread(call)
        await self._settle(
            call,
            UpdateThread(thread_id=thread_id, title=_title(body.title), archived=body.archived),
        )
        return _json(await self._one_thread(call, thread_id))

    async def _delete_thread(self, call: Call) -> Response:
        await self._settle(call, DeleteThread(thread_id=ThreadId(call.path("thread_id"))))
        return Response(status_code=204)

    async def _own_thread(self, call: Call) -> ThreadId:
        thread_id = ThreadId(call.path("thread_id"))
        if await self._store.thread(call.principal.user, thread_id) is None:
            raise not_found()
        return thread_id

    async def _messages(self, call: Call) -> Response:
        limit = _limit(call.request)
        before = _cursor(call.request)
        user = call.principal.user
        history = await self._store.history(
            user,
            ThreadId(call.path("thread_id")),
            limit + 1,
            None if before is None else Seq(int(before[0])),
        )
        if history is None:
            raise not_found()
        more = len(history.runs) > limit
        runs = history.runs[:limit]
        if before is None:
            await self._fetched(call, runs, history)
        return _json(
            shapes.Messages(
                items=[m for run in reversed(runs) for m in _messages_of(run)],
                next=_opaque(runs[-1].first_seq) if more else None,
                as_of=history.as_of.cursor,
                mark=history.as_of.mark,
                open_runs=[shapes.HistoryRun.of(r) for r in history.open_runs],
            )
        )

    async def _fetched(self, call: Call, runs: list[RunRow], history: History) -> None:
        """Reading the newest answer is a receipt for it, where it is the newest of the user."""
        last = max((run.last_seq or 0 for run in runs), default=0)
        if not last:
            return
        try:
            await self._store.fetched(
                call.principal.user, [run.run_id for run in runs if run.last_seq is not None]
            )
        except (StoreUnavailableError, PositionError):
            return

    async def _send(self, call: Call) -> Response:
        body: shapes.SendBody = call.body
        accepted = await self._settle(
            call,
            Send(
                thread_id=ThreadId(call.path("thread_id")),
                text=body.text,
                agent=body.agent,
                when_busy=body.when_busy,
                attachments=body.attachments,
            ),
        )
        return _json(accepted, 202)

    # -- runs --------------------------------------------------------------------------------

    async def _own_run(self, call: Call) -> RunRow:
        row = await self._store.run(call.principal.user, RunId(call.path("run_id")))
        if row is None:
            raise not_found()
        return row

    async def _run(self, call: Call) -> Response:
        return _json(shapes.RunBody.of(await self._own_run(call)))

    async def _run_events(self, call: Call) -> Response:
        row = await self._own_run(call)
        limit = _limit(call.request)
        start = _cursor(call.request)
        after = row.first_seq - 1 if start is None else int(start[0])
        items: list[msgspec.Raw] = []
        following: str | None = None
        while following is None and (row.last_seq is None or after < row.last_seq):
            version, page = await self._store.entries(call.principal.user, Seq(after))
            for encoded in page:
                after = encoded.seq
                if encoded.hidden or decode(encoded, version).run_id != row.run_id:
                    continue
                items.append(msgspec.Raw(encoded.json))
                if len(items) == limit and encoded.seq != row.last_seq:
                    following = _opaque(after)
                    break
            if not page:
                break
        return _json(shapes.RunEvents(items=items, next=following))

    async def _cancel(self, call: Call) -> Response:
        command = Cancel(run_id=RunId(call.path("run_id")))
        return _json(await self._settle(call, command), 202)

    async def _decide(self, call: Call) -> Response:
        body: shapes.DecideBody = call.body
        command = Decide(
            approval_id=ApprovalId(call.path("approval_id")),
            decision=body.decision,
            reason=body.reason,
        )
        return _json(await self._settle(call, command), 202)

    async def _attachments(self, call: Call) -> Response:
        raise InvalidError("attachments: this version takes none.")

    # -- search ------------------------------------------------------------------------------

    async def _search(self, call: Call) -> Response:
        words = words_of(call.request.query_params.get("q", ""))
        if not words or len(words) > _MOST_WORDS:
            raise InvalidError(f"q: must have 1 to {_MOST_WORDS} words")
        found = await self._store.search(call.principal.user, words, _limit(call.request))
        return _json(
            shapes.SearchHits(
                items=[
                    shapes.SearchHit(
                        thread_id=hit.run.thread_id,
                        message_id=_message_id(hit.run, hit.role),
                        run_id=hit.run.run_id,
                        role=hit.role,
                        snippet=snippet(
                            hit.run.text if hit.role == "user" else hit.run.output or "", words
                        ),
                    )
                    for hit in found
                ]
            )
        )


def _message_id(run: RunRow, role: str) -> str:
    """An answer's message id is its run's id."""
    return run.run_id if role == "assistant" or run.message_id is None else run.message_id


def _messages_of(run: RunRow) -> list[shapes.HistoryMessage]:
    question = shapes.HistoryMessage(
        message_id=_message_id(run, "user"),
        role="user",
        text=run.text,
        time=shapes.format_time(run.queued_ms),
        run_id=run.run_id,
        status=run.status,
    )
    if run.ended_ms is None:
        return [question]
    answer = shapes.HistoryMessage(
        message_id=_message_id(run, "assistant"),
        role="assistant",
        text=run.output or "",
        time=shapes.format_time(run.ended_ms),
        run_id=run.run_id,
        status=run.status,
    )
    return [question, answer]


def _json(body: msgspec.Struct, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(body),
        status,
        {"Cache-Control": "no-store"},
        media_type="application/json",
    )


def _title(title: str | None) -> str | None:
    if title is not None and len(title) > 200:
        raise InvalidError("title: may have 200 characters")
    return title


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_DEFAULT_ITEMS))
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= _MOST_ITEMS:
        raise InvalidError(f"limit: must be 1 to {_MOST_ITEMS}")
    return int(text)


def _opaque(*values: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def _cursor(request: Request) -> list[Any] | None:
    text = request.query_params.get("cursor")
    if text is None:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        values: Any = msgspec.json.decode(base64.urlsafe_b64decode(padded))
        if not isinstance(values, list) or not isinstance(values[0], int):
            raise ValueError
        listed: list[Any] = values  # pyright: ignore[reportUnknownVariableType]
        if request.url.path.endswith("/threads") and not (
            len(listed) == 2 and isinstance(listed[1], str)
        ):
            raise ValueError
    except (ValueError, IndexError, msgspec.MsgspecError):
        raise InvalidError("cursor: is not one that this server gave") from None
    return listed
