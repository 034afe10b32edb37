"""Operations on threads and their messages."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.responses import Response

from goldenpath.errors import InvalidError, StoreUnavailableError
from goldenpath.model.commands import CreateThread, DeleteThread, Send, UpdateThread
from goldenpath.model.ids import Seq, ThreadId
from goldenpath.model.views import RunRow
from goldenpath.server import shapes
from goldenpath.server.calls import Call, Operation, json_response, not_found
from goldenpath.server.pages import PAGE, cursor_of, limit_of, opaque

_MOST_TITLE = 200


async def _list(call: Call) -> Response:
    limit = limit_of(call.request)
    before = cursor_of(call.request, tuple[int, ThreadId])
    rows = await call.service.store.threads(call.user, limit + 1, before)
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    return json_response(
        shapes.Threads(
            items=[shapes.Thread.of(row) for row in shown],
            next=None if last is None else opaque((last.created_ms, last.thread_id)),
        )
    )


async def _create(call: Call) -> Response:
    body: shapes.ThreadBody = call.body
    accepted = await call.settle(CreateThread(title=_title(body.title)))
    return json_response(await _thread(call, accepted.thread_id), 201)


async def _one(call: Call) -> Response:
    return json_response(await _thread(call, call.path("thread_id")))


async def _update(call: Call) -> Response:
    body: shapes.ThreadPatch = call.body
    if body.title is None and body.archived is None:
        raise InvalidError("title or archived: one of them must be given")
    thread_id = ThreadId(call.path("thread_id"))
    await call.settle(
        UpdateThread(thread_id=thread_id, title=_title(body.title), archived=body.archived)
    )
    return json_response(await _thread(call, thread_id))


async def _delete(call: Call) -> Response:
    await call.settle(DeleteThread(thread_id=ThreadId(call.path("thread_id"))))
    return Response(status_code=204)


async def _messages(call: Call) -> Response:
    limit = limit_of(call.request)
    before = cursor_of(call.request, tuple[int])
    history = await call.service.store.history(
        call.user,
        ThreadId(call.path("thread_id")),
        limit + 1,
        None if before is None else Seq(before[0]),
    )
    if history is None:
        raise not_found()
    runs = history.runs[:limit]
    last = runs[-1] if len(history.runs) > limit else None
    await _fetched(call, runs)
    return json_response(
        shapes.Messages(
            items=[message for run in reversed(runs) for message in shapes.messages_of(run)],
            next=None if last is None else opaque((last.first_seq,)),
            as_of=history.as_of.cursor,
            mark=history.as_of.mark,
            open_runs=[shapes.HistoryRun.of(run) for run in history.open_runs],
        )
    )


async def _fetched(call: Call, runs: Sequence[RunRow]) -> None:
    """Reading answers in a history is a receipt of delivery for them."""
    ended = [run.run_id for run in runs if run.last_seq is not None]
    if ended:
        try:
            await call.service.store.fetched(call.user, ended)
        except StoreUnavailableError:
            return  # a receipt is not worth a history


async def _send(call: Call) -> Response:
    body: shapes.SendBody = call.body
    accepted = await call.settle(
        Send(
            thread_id=ThreadId(call.path("thread_id")),
            text=body.text,
            agent=body.agent,
            when_busy=body.when_busy,
            attachments=body.attachments,
        )
    )
    return json_response(accepted, 202)


async def _thread(call: Call, thread_id: str | None) -> shapes.Thread:
    row = await call.service.store.thread(call.user, ThreadId(thread_id or ""))
    if row is None:
        raise not_found()
    return shapes.Thread.of(row)


def _title(title: str | None) -> str | None:
    if title is not None and len(title) > _MOST_TITLE:
        raise InvalidError(f"title: may have {_MOST_TITLE} characters")
    return title


_COMMAND = ("id_reused", "rate_limited")

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/threads",
        summary="Threads, newest first",
        handler=_list,
        answer=shapes.Threads,
        query=PAGE,
    ),
    Operation(
        method="POST",
        path="/v1/threads",
        summary="Create a thread",
        handler=_create,
        answer=shapes.Thread,
        status=201,
        body=shapes.ThreadBody,
        errors=("not_found", *_COMMAND),  # an id whose thread is deleted by now
    ),
    Operation(
        method="GET",
        path="/v1/threads/{thread_id}",
        summary="One thread",
        handler=_one,
        answer=shapes.Thread,
        errors=("not_found",),
    ),
    Operation(
        method="PATCH",
        path="/v1/threads/{thread_id}",
        summary="Rename or archive a thread",
        handler=_update,
        answer=shapes.Thread,
        body=shapes.ThreadPatch,
        errors=("not_found", *_COMMAND),
    ),
    Operation(
        method="DELETE",
        path="/v1/threads/{thread_id}",
        summary="Erase a thread",
        handler=_delete,
        status=204,
        errors=("not_found", *_COMMAND),
    ),
    Operation(
        method="GET",
        path="/v1/threads/{thread_id}/messages",
        summary="Questions and answers, and what is open, as of one moment",
        handler=_messages,
        answer=shapes.Messages,
        query=PAGE,
        errors=("not_found",),
    ),
    Operation(
        method="POST",
        path="/v1/threads/{thread_id}/messages",
        summary="Ask an agent",
        handler=_send,
        answer=shapes.AcceptedBody,
        status=202,
        body=shapes.SendBody,
        errors=("not_found", "unknown_agent", "busy", "queue_full", *_COMMAND),
    ),
)
