"""Case 11: 2, 12, 50 users at once, each with a marker of its own in everything."""

import asyncio
import json

import pytest

from tests.mission_critical.kit import Device, Server, new_id

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("users", [2, 12, 50])
async def test_no_marker_shows_in_anything_of_another_user(server: Server, users: int) -> None:
    everyone = [f"u{users}-{i}" for i in range(users)]
    markers = {user: f"MARKER{new_id()}" for user in everyone}
    shown = dict.fromkeys(everyone, "")

    async def talk(user: str) -> None:
        async with Device(server, user) as tab:
            first, _ = await tab.ask(f"same text {markers[user]}", agent="confidential")
            thread = first["thread_id"]
            _, second = await tab.ask(f"again {markers[user]}", thread_id=thread)
            assert second["output"].count(markers[user]) >= 3, "its own memory is there"
            _, failed = await tab.ask(f"FAIL {markers[user]}", agent="confidential")
            assert failed["status"] == "failed"
            assert markers[user] not in json.dumps(failed["error"])
            await tab.fence()
            history = await server.history(user, thread)
            shown[user] = json.dumps([tab.log.events, tab.order, history])
            async with server.http(user) as web:
                for path in ("/v1/me", "/v1/threads", "/v1/search?q=same", "/v1/search?q=heard"):
                    answer = await web.get(path)
                    assert answer.status_code == 200, answer.text
                    shown[user] += answer.text
                found = (await web.get("/v1/search", params={"q": markers[user]})).json()
                assert {i["thread_id"] for i in found["items"]} >= {thread}
                for other in everyone[:3]:
                    if other != user:
                        answer = await web.get("/v1/search", params={"q": markers[other]})
                        assert answer.json()["items"] == []

    await asyncio.gather(*map(talk, everyone))
    for user in everyone:
        assert markers[user] in shown[user]
        foreign = [other for other in everyone if other != user and markers[other] in shown[user]]
        assert foreign == [], f"{user} sees {foreign}"
    public = server.log_text() + json.dumps(await server.metrics())
    assert [user for user in everyone if markers[user] in public] == []
    assert not [name for name in await server.metrics() if "user=" in name or everyone[0] in name]
