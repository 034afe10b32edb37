"""Operations on the user's own account: who I am, erasing, agents, acknowledging, searching."""

from __future__ import annotations

from starlette.responses import Response

from goldenpath.errors import InvalidError, PositionError
from goldenpath.model.commands import Forget
from goldenpath.model.ids import DeviceId, Mark, Seq, is_client_id
from goldenpath.server import shapes
from goldenpath.server.calls import Call, Operation, json_response
from goldenpath.server.pages import limit_of
from goldenpath.server.snippets import snippet
from goldenpath.store.interface import Position
from goldenpath.store.words import words_of

_MOST_WORDS = 16
_MOST_RUNS = 1000


async def _me(call: Call) -> Response:
    store = call.service.store
    head = await store.head(call.user)
    open_runs = {
        status: len(await store.runs(call.user, status, _MOST_RUNS))
        for status in ("running", "resuming", "waiting")
    }
    return json_response(
        shapes.Me(
            user_id=call.user,
            roles=sorted(call.principal.roles),
            limits=call.service.limits,
            usage={
                "runs_running": open_runs["running"] + open_runs["resuming"],
                "runs_waiting": open_runs["waiting"],
            },
            head=head.cursor,
            mark=head.mark,
        )
    )


async def _forget(call: Call) -> Response:
    await call.settle(Forget())
    return Response(status_code=204)


async def _agents(call: Call) -> Response:
    return json_response(shapes.Agents(items=call.service.agents))


async def _ack(call: Call) -> Response:
    body: shapes.AckBody = call.body
    if not is_client_id(body.device):
        raise InvalidError("device: must be 1 to 64 of A-Z a-z 0-9 _ -")
    position = Position(Mark(body.mark), Seq(body.cursor))
    try:
        most = call.service.host.limits.devices_per_user
        await call.service.store.acknowledge(call.user, DeviceId(body.device), position, most)
    except PositionError:
        raise InvalidError("cursor: is not a position of this log") from None
    return Response(status_code=204)


async def _attachments(call: Call) -> Response:
    raise InvalidError("attachments: this version takes none.")


async def _search(call: Call) -> Response:
    words = words_of(call.request.query_params.get("q", ""))
    if not 0 < len(words) <= _MOST_WORDS:
        raise InvalidError(f"q: must have 1 to {_MOST_WORDS} words")
    found = await call.service.store.search(call.user, words, limit_of(call.request))
    return json_response(
        shapes.SearchHits(
            items=[
                shapes.SearchHit(
                    thread_id=hit.run.thread_id,
                    message_id=shapes.message_id(hit.run, hit.role),
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


OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/me",
        summary="Who I am, and what I may",
        handler=_me,
        answer=shapes.Me,
    ),
    Operation(
        method="DELETE",
        path="/v1/me",
        summary="Erase everything of mine",
        handler=_forget,
        status=204,
    ),
    Operation(
        method="GET",
        path="/v1/agents",
        summary="What can be run",
        handler=_agents,
        answer=shapes.Agents,
    ),
    Operation(
        method="POST",
        path="/v1/ack",
        summary="Acknowledge, for readers without a socket",
        handler=_ack,
        status=204,
        body=shapes.AckBody,
    ),
    Operation(
        method="POST",
        path="/v1/attachments",
        summary="Upload a file (refused by this version)",
        handler=_attachments,
        status=422,
    ),
    Operation(
        method="GET",
        path="/v1/search",
        summary="Search my questions and answers",
        handler=_search,
        answer=shapes.SearchHits,
        query=("q", "limit"),
    ),
)
