"""Operations on runs and their approvals."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from goldenpath.model.commands import Cancel, Decide
from goldenpath.model.entries import decode
from goldenpath.model.ids import ApprovalId, RunId, Seq
from goldenpath.model.views import RunRow
from goldenpath.server import shapes
from goldenpath.server.calls import Call, Operation, json_response, not_found
from goldenpath.server.pages import PAGE, cursor_of, limit_of, opaque


async def _own_run(call: Call) -> RunRow:
    row = await call.service.store.run(call.user, RunId(call.path("run_id")))
    if row is None:
        raise not_found()
    return row


async def _one(call: Call) -> Response:
    return json_response(shapes.RunBody.of(await _own_run(call)))


async def _events(call: Call) -> Response:
    limit = limit_of(call.request)
    start = cursor_of(call.request, tuple[int])
    row = await _own_run(call)
    after = row.first_seq - 1 if start is None else max(start[0], row.first_seq - 1)
    items: list[msgspec.Raw] = []
    while row.last_seq is None or after < row.last_seq:
        version, page = await call.service.store.entries(call.user, Seq(after))
        for encoded in page:
            after = encoded.seq
            if not encoded.hidden and decode(encoded, version).run_id == row.run_id:
                items.append(msgspec.Raw(encoded.json))
            if after == row.last_seq or len(items) == limit:
                break
        if not page or len(items) == limit:
            break
    more = len(items) == limit and after != row.last_seq
    return json_response(shapes.RunEvents(items=items, next=opaque((after,)) if more else None))


async def _cancel(call: Call) -> Response:
    return json_response(await call.settle(Cancel(run_id=RunId(call.path("run_id")))), 202)


async def _decide(call: Call) -> Response:
    body: shapes.DecideBody = call.body
    command = Decide(
        approval_id=ApprovalId(call.path("approval_id")),
        decision=body.decision,
        reason=body.reason,
    )
    return json_response(await call.settle(command), 202)


_COMMAND = ("not_found", "id_reused", "rate_limited")

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/runs/{run_id}",
        summary="One run",
        handler=_one,
        answer=shapes.RunBody,
        errors=("not_found",),
    ),
    Operation(
        method="GET",
        path="/v1/runs/{run_id}/events",
        summary="A run's events, oldest first",
        handler=_events,
        answer=shapes.RunEvents,
        query=PAGE,
        errors=("not_found",),
    ),
    Operation(
        method="POST",
        path="/v1/runs/{run_id}/cancel",
        summary="Cancel a run",
        handler=_cancel,
        answer=shapes.AcceptedBody,
        status=202,
        errors=("run_ended", *_COMMAND),
    ),
    Operation(
        method="POST",
        path="/v1/approvals/{approval_id}",
        summary="Decide an approval",
        handler=_decide,
        answer=shapes.AcceptedBody,
        status=202,
        body=shapes.DecideBody,
        errors=("already_decided", *_COMMAND),
    ),
)
