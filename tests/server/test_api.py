"""The HTTP API, row by row of the protocol's table."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from goldenpath.engine.limits import Limits
from goldenpath.model.ids import UserId
from goldenpath.testing.memory_disk import Disk
from tests.server.kit import Site
from tests.server.kit import site as running_site

pytestmark = pytest.mark.anyio
NOBODYS = "01890000-0000-7000-8000-000000000000"
PATHS = [
    ("GET", "/v1/threads/{}"),
    ("PATCH", "/v1/threads/{}"),
    ("DELETE", "/v1/threads/{}"),
    ("GET", "/v1/threads/{}/messages"),
    ("POST", "/v1/threads/{}/messages"),
    ("GET", "/v1/runs/{}"),
    ("GET", "/v1/runs/{}/events"),
    ("POST", "/v1/runs/{}/cancel"),
    ("POST", "/v1/approvals/{}"),
]
BODIES: dict[str, Any] = {
    "/v1/threads/{}/messages": {"text": "x"},
    "/v1/threads/{}": {"archived": True},
    "/v1/approvals/{}": {"decision": "deny"},
}


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is a problem of RFC 9457 with the protocol's fields."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert set(body) == {"type", "title", "status", "detail", "code", "message", "retryable"}
    assert body["status"] == status
    return body


async def test_a_thread_is_created_asked_read_renamed_and_erased(site: Site) -> None:
    async with site.http() as web:
        created = await web.post("/v1/threads", json={"title": "Tea"})
        assert created.status_code == 201
        thread = created.json()
        assert set(thread) == {"thread_id", "title", "archived", "agent", "created"}
        path = f"/v1/threads/{thread['thread_id']}"
        assert (await web.get(path)).json() == thread

        asked = await web.post(f"{path}/messages", json={"text": "hello"})
        assert asked.status_code == 202
        accepted = asked.json()
        assert accepted["thread_id"] == thread["thread_id"]
        await ended(site, accepted["run_id"])

        renamed = await web.patch(path, json={"title": "Coffee", "archived": True})
        assert (renamed.json()["title"], renamed.json()["archived"]) == ("Coffee", True)
        assert (await web.get("/v1/threads")).json()["items"] == [renamed.json()]

        assert (await web.delete(path)).status_code == 204
        problem(await web.get(path), 404, "not_found")
        problem(await web.get(f"{path}/messages"), 404, "not_found")
        problem(await web.post(f"{path}/messages", json={"text": "x"}), 404, "not_found")
        problem(await web.delete(path), 404, "not_found")
        assert (await web.get("/v1/threads")).json() == {"items": [], "next": None}


async def ended(site: Site, run_id: str, user: str = "ada") -> None:
    """Wait for a run's end."""
    async with site.tab(user, cursor=0) as tab:
        await tab.event("agent_completed", run_id)


async def test_a_history_shows_ended_and_open_runs_as_of_one_position(site: Site) -> None:
    done = await site.ask("hello")
    async with site.tab(cursor=0) as tab, site.http() as web:
        tab.put(type="send", id="g", text="wait", agent="gated", thread_id=done["thread_id"])
        gated = await tab.answer("accepted")
        while "began " not in str(tab.events):
            await tab.frame()
        path = f"/v1/threads/{done['thread_id']}/messages"
        history = (await web.get(path)).json()
        assert (history["as_of"], history["mark"]) == (tab.cursor, tab.mark)
        assert [(m["role"], m["text"], m["status"]) for m in history["items"]] == [
            ("user", "hello", "succeeded"),
            ("assistant", "you said: hello", "succeeded"),
            ("user", "wait", "running"),
        ]
        assert history["items"][0]["message_id"] == done["message_id"]
        assert history["items"][1]["run_id"] == done["run_id"]
        assert set(history["items"][0]) == {
            *("message_id", "role", "text", "time", "run_id", "status")
        }
        (opened,) = history["open_runs"]
        assert opened["run_id"] == gated["run_id"]
        assert "".join(part["text"] for part in opened["parts"]) == "began "
        assert (opened["tools"], opened["approvals"], history["next"]) == ([], [], None)
        assert (await web.get("/v1/me")).json()["usage"] == {"runs_running": 1, "runs_waiting": 0}
        site.gate.set()


async def test_reading_a_history_is_a_receipt_for_the_answers_that_it_shows(site: Site) -> None:
    one, two = await site.ask("one"), await site.ask("two")
    assert len(await site.store.undelivered()) == 2
    async with site.http() as web:
        await web.get(f"/v1/threads/{one['thread_id']}/messages")
        (left,) = await site.store.undelivered()
        assert left.run.run_id == two["run_id"]
        site.store.away.add("fetched")
        answer = await web.get(f"/v1/threads/{two['thread_id']}/messages")
        assert answer.status_code == 200, "a receipt that cannot be written costs no history"


async def test_pages_have_every_item_once_while_new_ones_arrive(site: Site) -> None:
    async with site.http() as web:
        made = [
            (await web.post("/v1/threads", json={"title": f"t{n}"})).json()["thread_id"]
            for n in range(7)
        ]
        seen: list[str] = []
        cursor: str | None = None
        while True:
            query = {"limit": 3} if cursor is None else {"limit": 3, "cursor": cursor}
            page = (await web.get("/v1/threads", params=query)).json()
            seen += [item["thread_id"] for item in page["items"]]
            await web.post("/v1/threads", json={"title": "new"})
            cursor = page["next"]
            if cursor is None:
                break
    assert sorted(one for one in seen if one in made) == sorted(made)
    assert len(seen) == len(set(seen))


async def test_messages_and_events_of_runs_have_pages_too(site: Site) -> None:
    first = await site.ask("m0")
    for number in range(1, 5):
        await site.ask(f"m{number}", thread_id=first["thread_id"])
    async with site.http() as web:
        path = f"/v1/threads/{first['thread_id']}/messages"
        texts: list[str] = []
        query: dict[str, Any] = {"limit": 2}
        while True:
            page = (await web.get(path, params=query)).json()
            texts = [m["text"] for m in page["items"] if m["role"] == "user"] + texts
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert texts == [f"m{n}" for n in range(5)]

        whole = (await web.get(f"/v1/runs/{first['run_id']}/events")).json()
        assert whole["next"] is None
        pieces: list[Any] = []
        query = {"limit": 1}
        while True:
            page = (await web.get(f"/v1/runs/{first['run_id']}/events", params=query)).json()
            pieces += page["items"]
            if page["next"] is None:
                break
            query["cursor"] = page["next"]
        assert pieces == whole["items"]
    types = [event["type"] for event in pieces]
    assert types[0] == "message_received"
    assert types[-1] == "agent_completed"
    assert {event["run_id"] for event in pieces} == {first["run_id"]}


async def test_the_events_of_a_run_are_its_own_though_another_ran_meanwhile(site: Site) -> None:
    async with site.tab(cursor=0) as tab, site.http() as web:
        tab.put(type="send", id="g", text="wait", agent="gated")
        gated = (await tab.answer("accepted"))["run_id"]
        await tab.event("agent_output", gated)
        echo = (await site.ask("hello"))["run_id"]
        opened = (await web.get(f"/v1/runs/{gated}/events")).json()
        assert (opened["items"][-1]["type"], opened["next"]) == ("agent_output", None)
        site.gate.set()
        await tab.event("agent_completed", gated)
        for run_id in (gated, echo):
            items = (await web.get(f"/v1/runs/{run_id}/events")).json()["items"]
            assert items == [event for event in tab.events if event["run_id"] == run_id]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=1e3", "cursor=x", "cursor=", "page=2",
     "cursor=WzFd", "cursor=WyJ4IiwieCJd", "cursor=Wy0xLCJ4Il0", "cursor=" + "W1tbW1tb" * 400],
)  # fmt: skip
async def test_a_page_that_nobody_gave_is_refused(site: Site, query: str) -> None:
    async with site.http() as web:
        problem(await web.get(f"/v1/threads?{query}"), 422, "invalid_field")


async def test_a_run_is_told_and_cancelled(site: Site) -> None:
    async with site.tab(cursor=0) as tab, site.http() as web:
        tab.put(type="send", id="g", text="wait", agent="gated")
        run_id = (await tab.answer("accepted"))["run_id"]
        await tab.event("agent_output")
        running = (await web.get(f"/v1/runs/{run_id}")).json()
        assert running["status"] == "running"
        assert {
            "run_id",
            "thread_id",
            "agent",
            "status",
            "output",
            "error",
            "usage",
            "times",
        } <= set(running)
        cancelled = await web.post(f"/v1/runs/{run_id}/cancel")
        assert (cancelled.status_code, cancelled.json()["run_id"]) == (202, run_id)
        await tab.event("agent_completed", run_id)
        told = (await web.get(f"/v1/runs/{run_id}")).json()
        assert (told["status"], told["output"]) == ("cancelled", "began ")
        problem(await web.post(f"/v1/runs/{run_id}/cancel"), 409, "run_ended")


async def test_a_run_is_resuming_while_no_engine_has_it() -> None:
    """From the drain of its server until the next one takes it up, in every answer that tells."""
    disk = Disk()
    async with running_site(disk=disk) as site, site.tab(cursor=0) as tab, site.http() as web:
        sent: list[Any] = []
        for text in ("one", "two"):
            tab.put(type="send", id=text, text=text, agent="gated")
            sent.append(await tab.answer("accepted"))
            await tab.event("agent_output", sent[-1]["run_id"])
        runs = [accepted["run_id"] for accepted in sent]
        assert await statuses(web, runs) == ["running", "running"]
        await site.host.drain(0)
        assert await statuses(web, runs) == ["resuming", "resuming"]
        assert (await web.get("/v1/me")).json()["usage"] == {"runs_running": 2, "runs_waiting": 0}
    # The next server has room for one of them: the other one goes on when that has ended.
    limits = Limits(coalesce_seconds=0.001, runs_at_once=1)
    async with (
        running_site(disk=disk, limits=limits) as site,
        site.tab(cursor=0) as tab,
        site.http() as web,
    ):
        await tab.event("agent_resumed", runs[0])
        assert await statuses(web, runs) == ["running", "resuming"]
        history = (await web.get(f"/v1/threads/{sent[1]['thread_id']}/messages")).json()
        assert [item["status"] for item in history["items"]] == ["resuming"]
        (opened,) = history["open_runs"]
        assert (opened["run_id"], opened["status"]) == (runs[1], "resuming")
        assert [part["text"] for part in opened["parts"]] == ["began "]
        assert (await web.get("/v1/me")).json()["usage"] == {"runs_running": 2, "runs_waiting": 0}
        site.gate.set()
        for run in runs:
            await tab.event("agent_completed", run)
        assert await statuses(web, runs) == ["succeeded", "succeeded"]


async def statuses(web: httpx.AsyncClient, runs: list[str]) -> list[str]:
    return [(await web.get(f"/v1/runs/{run}")).json()["status"] for run in runs]


async def test_an_approval_is_decided_once(site: Site) -> None:
    async with site.tab(cursor=0) as tab, site.http() as web:
        tab.put(type="send", id="a", text="buy", agent="asks")
        accepted = await tab.answer("accepted")
        approval = (await tab.event("approval_requested"))["data"]
        history = (await web.get(f"/v1/threads/{accepted['thread_id']}/messages")).json()
        (shown,) = history["open_runs"][0]["approvals"]
        assert shown["approval_id"] == approval["approval_id"]
        path = f"/v1/approvals/{approval['approval_id']}"
        problem(await web.post(path, json={"decision": "maybe"}), 422, "invalid_field")
        answer = await web.post(path, json={"decision": "approve", "reason": "fine"})
        assert answer.status_code == 202
        completed = await tab.event("agent_completed")
        assert completed["data"]["output"] == "approved: True"
        problem(await web.post(path, json={"decision": "deny"}), 409, "already_decided")


@pytest.mark.parametrize(("method", "path"), PATHS)
async def test_what_is_anothers_is_answered_as_what_does_not_exist(
    site: Site, method: str, path: str
) -> None:
    async with site.tab("bob", cursor=0) as tab:
        tab.put(type="send", id="a", text="buy", agent="asks")
        accepted = await tab.answer("accepted")
        approval = (await tab.event("approval_requested"))["data"]["approval_id"]
    kind = path.split("/")[2]
    foreign = {"threads": accepted["thread_id"], "runs": accepted["run_id"], "approvals": approval}
    body = BODIES.get(path) if method in ("POST", "PATCH") else None
    async with site.http("ada") as web:
        answers = [
            await web.request(method, path.format(one), json=body)
            for one in (foreign[kind], NOBODYS, "no-id-at-all", "%00")
        ]
    assert {(a.status_code, a.text) for a in answers} == {(404, answers[0].text)}
    problem(answers[0], 404, "not_found")


async def test_one_key_is_one_command_and_it_is_always_told(site: Site) -> None:
    async with site.http() as web:
        key = {"Idempotency-Key": "my-key"}
        first = await web.post("/v1/threads", json={"title": "one"}, headers=key)
        again = await web.post("/v1/threads", json={"title": "one"}, headers=key)
        assert first.json() == again.json()
        assert again.headers["idempotency-key"] == "my-key"
        assert len((await web.get("/v1/threads")).json()["items"]) == 1
        other = await web.post("/v1/threads", json={"title": "two"}, headers=key)
        problem(other, 409, "id_reused")
        minted = await web.post("/v1/threads", json={})
        assert minted.headers["idempotency-key"]
        site.store.away.add("submit")
        lost = await web.post("/v1/threads", json={"title": "three"})
        assert problem(lost, 503, "unavailable")["retryable"] is True
        site.store.away.clear()
        key = {"Idempotency-Key": lost.headers["idempotency-key"]}
        assert (
            await web.post("/v1/threads", json={"title": "three"}, headers=key)
        ).status_code == 201
        bad = await web.post("/v1/threads", json={}, headers={"Idempotency-Key": "not a key"})
        problem(bad, 422, "invalid_field")

        thread = (await web.get("/v1/threads")).json()["items"][0]["thread_id"]
        path = f"/v1/threads/{thread}/messages"
        one = await web.post(path, json={"text": "x"}, headers={"Idempotency-Key": "m"})
        two = await web.post(path, json={"text": "x"}, headers={"Idempotency-Key": "m"})
        assert (one.json()["duplicate"], two.json()["duplicate"]) == (False, True)
        assert one.json()["run_id"] == two.json()["run_id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "invalid_json"),
        (b'{"text":"\xff"}', 400, "invalid_json"),
        (b'{"text":"\\ud800"}', 400, "invalid_json"),
        (b'{"text":' + b"[" * 50_000, 400, "invalid_json"),
        (b"", 422, "invalid_field"),
        (b"[]", 422, "invalid_field"),
        (b"{}", 422, "invalid_field"),
        (b'{"text":5}', 422, "invalid_field"),
        (b'{"text":"x","zeal":1}', 422, "invalid_field"),
        (b'{"text":"x","when_busy":"never"}', 422, "invalid_field"),
        (b'{"text":"x","attachments":["a"]}', 422, "invalid_field"),
        (b'{"text":"x","agent":"nobody"}', 422, "unknown_agent"),
        (b'{"text":"' + b"x" * 70_000 + b'"}', 413, "too_large"),
        (b'{"text":"' + b"x" * 300_000 + b'"}', 413, "too_large"),
    ],
    ids=range(14),
)
async def test_a_bad_body_is_refused_and_nothing_happens(
    site: Site, body: bytes, status: int, code: str
) -> None:
    async with site.http() as web:
        thread = (await web.post("/v1/threads", json={})).json()["thread_id"]
        head = (await web.get("/v1/me")).json()["head"]
        problem(await web.post(f"/v1/threads/{thread}/messages", content=body), status, code)
        assert (await web.get("/v1/me")).json()["head"] == head


async def test_a_body_that_does_not_come_is_not_waited_for() -> None:
    async with running_site(body_seconds=0.05) as site, site.http() as web:

        async def slowly() -> Any:
            yield b'{"title":'
            await asyncio.Event().wait()

        problem(await web.post("/v1/threads", content=slowly()), 400, "invalid_json")


@pytest.mark.parametrize("fields", [{"title": "x" * 201}, {"title": 5}, {}, {"title": None}])
async def test_a_thread_is_only_changed_to_what_can_be(site: Site, fields: Any) -> None:
    async with site.http() as web:
        thread = (await web.post("/v1/threads", json={})).json()["thread_id"]
        problem(await web.patch(f"/v1/threads/{thread}", json=fields), 422, "invalid_field")


async def test_busy_threads_and_full_queues_are_refused() -> None:
    limits = Limits(runs_at_once=1, runs_waiting=1)
    async with running_site(limits=limits) as site, site.http() as web:
        thread = (await web.post("/v1/threads", json={})).json()["thread_id"]
        path = f"/v1/threads/{thread}/messages"
        body = {"text": "x", "agent": "gated"}
        assert (await web.post(path, json=body)).status_code == 202
        busy = await web.post(path, json={**body, "when_busy": "reject"})
        assert problem(busy, 409, "busy")["retryable"] is True
        assert (await web.post(path, json=body)).status_code == 202
        full = await web.post(path, json=body)
        assert problem(full, 429, "queue_full")["retryable"] is True
        assert full.headers["retry-after"] == "1"
        site.gate.set()


async def test_i_am_told_who_i_am_and_what_i_may(site: Site) -> None:
    done = await site.ask("hello")
    head = await site.store.head(UserId("ada"))
    async with site.http() as web:
        me = (await web.get("/v1/me")).json()
        agents = (await web.get("/v1/agents")).json()
    assert set(me) == {"user_id", "roles", "limits", "usage", "head", "mark"}
    assert (me["user_id"], me["head"], me["mark"]) == ("ada", head.cursor, head.mark)
    assert me["limits"]["message_bytes"] == 65536
    assert [one["name"] for one in agents["items"]] == ["echo", "gated", "asks"]
    assert done["run_id"]


async def test_everything_of_mine_is_erased_and_nothing_of_others(site: Site) -> None:
    await site.ask("my secret")
    await site.ask("of bob", user="bob")
    async with site.tab(cursor=0) as tab, site.http() as web:
        tab.put(type="send", id="g", text="also secret", agent="gated")
        await tab.event("agent_output", (await tab.answer("accepted"))["run_id"])
        erased = await web.delete("/v1/me")
        assert (erased.status_code, erased.content) == (204, b"")
        assert (await web.get("/v1/threads")).json()["items"] == []
        assert (await web.get("/v1/search", params={"q": "secret"})).json()["items"] == []
        head = (await web.get("/v1/me")).json()["head"]
    async with site.tab(cursor=0) as tab:
        while tab.cursor < head:
            await tab.frame()
        assert "secret" not in str(tab.events)
        tab.put(type="send", id="new", text="again")
        await tab.event("agent_completed", (await tab.answer("accepted"))["run_id"])
    async with site.http("bob") as web:
        assert len((await web.get("/v1/threads")).json()["items"]) == 1


async def test_readers_without_a_socket_acknowledge_by_http(site: Site) -> None:
    await site.ask("hello")
    head = await site.store.head(UserId("ada"))
    async with site.http() as web:
        body = {"device": "phone", "mark": head.mark, "cursor": head.cursor}
        for change in ({"cursor": head.cursor + 1}, {"mark": "other"}, {"cursor": -1},
                       {"device": "a b"}, {"device": "a\n"}, {"more": 1}, {"cursor": 2**70}):  # fmt: skip
            problem(await web.post("/v1/ack", json={**body, **change}), 422, "invalid_field")
        assert len(await site.store.undelivered()) == 1
        assert (await web.post("/v1/ack", json=body)).status_code == 204
        assert await site.store.undelivered() == []


async def test_attachments_are_refused_in_this_version(site: Site) -> None:
    async with site.http() as web:
        problem(await web.post("/v1/attachments", content=b"%PDF"), 422, "invalid_field")


async def test_search_finds_my_words_by_their_beginnings(site: Site) -> None:
    mine = await site.ask("The Quick brown fox")
    await site.ask("The quick brown fox of bob", user="bob")
    async with site.http() as web:
        found = (await web.get("/v1/search", params={"q": "qui BROWN"})).json()["items"]
        assert {hit["run_id"] for hit in found} == {mine["run_id"]}
        assert {hit["role"] for hit in found} == {"user", "assistant"}
        assert all("Quick" in hit["snippet"] for hit in found)
        question = next(hit for hit in found if hit["role"] == "user")
        assert question["message_id"] == mine["message_id"]
        assert question["thread_id"] == mine["thread_id"]
        assert (await web.get("/v1/search", params={"q": "fox bob"})).json()["items"] == []
        for query in ({}, {"q": ""}, {"q": "?!"}, {"q": "a " * 17}, {"q": "a", "limit": "x"}):
            problem(await web.get("/v1/search", params=query), 422, "invalid_field")


async def test_nothing_is_told_without_a_token_or_to_a_foreign_page(site: Site) -> None:
    async with site.http(None) as web:
        for method, path in [
            *PATHS,
            ("GET", "/v1/me"),
            ("POST", "/v1/threads"),
            ("POST", "/v1/ack"),
        ]:
            answer = await web.request(method, path.format(NOBODYS))
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"
    async with site.http(origin="https://evil.example") as web:
        problem(await web.post("/v1/threads", json={}), 403, "forbidden")
        problem(await web.delete("/v1/me"), 403, "forbidden")


async def test_a_store_that_is_away_is_unavailable(site: Site) -> None:
    site.store.away.update(("head", "history"))
    async with site.http() as web:
        assert problem(await web.get("/v1/me"), 503, "unavailable")["retryable"] is True
