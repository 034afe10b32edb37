"""An issuer's keys: fetched when needed, by one at a time, seldom; an outage hurts nobody known."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from goldenpath.errors import RefusedError
from goldenpath.server import keys as module
from goldenpath.server.keys import KeySet
from tests.server.test_auth import ED, jwk

pytestmark = pytest.mark.anyio


class Issuer:
    """Answers with what it is told to, when it is let to."""

    def __init__(self, *kids: str) -> None:
        self.answer: Any = {"keys": [jwk("EdDSA", ED, kid=kid) for kid in kids]}
        self.fetches = 0
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, url: str) -> Any:
        assert url == "https://issuer/keys"
        self.fetches += 1
        await self.open.wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def keys_of(issuer: Issuer) -> KeySet:
    return KeySet("https://issuer/keys", issuer)


def code(outcome: Any) -> str:
    assert isinstance(outcome, RefusedError)
    return outcome.code


async def test_many_who_ask_at_the_start_wait_for_one_fetch() -> None:
    issuer = Issuer("a")
    keys = keys_of(issuer)
    issuer.open.clear()
    asking = [asyncio.create_task(keys.find("a")) for _ in range(50)]
    await asyncio.sleep(0)
    issuer.open.set()
    assert all(await asyncio.gather(*asking))
    assert issuer.fetches == 1


async def test_unknown_keys_do_not_make_it_ask_again_and_again() -> None:
    issuer = Issuer("a")
    keys = keys_of(issuer)
    assert await keys.find("a")
    for number in range(100):
        assert await keys.find(f"forged-{number}") is None
    assert issuer.fetches == 1


async def test_a_new_key_is_found_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    issuer = Issuer("a")
    keys = keys_of(issuer)
    assert await keys.find("a")
    issuer.answer = Issuer("b").answer
    assert await keys.find("b")
    assert await keys.find("a") is None, "a key that the issuer withdrew is gone"


async def test_an_old_key_set_is_read_again_without_anyone_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(module, "_OLD_SECONDS", -1.0)
    issuer = Issuer("a")
    keys = keys_of(issuer)
    assert await keys.find("a")
    issuer.open.clear()
    assert await keys.find("a")
    await asyncio.sleep(0)
    assert issuer.fetches == 2
    issuer.open.set()


@pytest.mark.parametrize(
    "answer",
    [httpx.ConnectError("down"), TimeoutError(), ValueError("no JSON"), [], {}, {"keys": 5}, None],
)
async def test_an_issuer_that_is_away_is_said_so_and_hurts_no_known_key(
    answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN_SECONDS", 0.0)
    monkeypatch.setattr(module, "_FAILED_SECONDS", 0.0)
    issuer = Issuer("a")
    good, issuer.answer = issuer.answer, answer
    keys = keys_of(issuer)
    for kid in ("a", None):
        with pytest.raises(RefusedError) as caught:
            await keys.find(kid)
        assert caught.value.code == "unavailable"
        assert caught.value.retryable
    issuer.answer = good
    assert await keys.find("a")
    issuer.answer = answer
    assert await keys.find("a")
    with pytest.raises(RefusedError):
        await keys.find("b")
    assert await keys.find("a")


async def test_after_a_failure_it_is_not_asked_by_every_request() -> None:
    issuer = Issuer()
    issuer.answer = httpx.ConnectError("down")
    keys = keys_of(issuer)
    outcomes = await asyncio.gather(*(keys.find("a") for _ in range(20)), return_exceptions=True)
    more = [await asyncio.gather(keys.find("a"), return_exceptions=True) for _ in range(20)]
    assert {code(one) for one in [*outcomes, *(one for (one,) in more)]} == {"unavailable"}
    assert issuer.fetches == 1


async def test_an_issuer_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FETCH_SECONDS", 0.01)
    issuer = Issuer("a")
    issuer.open.clear()
    with pytest.raises(RefusedError) as caught:
        await keys_of(issuer).find("a")
    assert caught.value.code == "unavailable"


async def test_who_stops_waiting_does_not_stop_the_others() -> None:
    issuer = Issuer("a")
    issuer.open.clear()
    keys = keys_of(issuer)
    first, second = (asyncio.create_task(keys.find("a")) for _ in range(2))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    issuer.open.set()
    assert await second


async def test_keys_for_other_uses_and_kinds_are_left_out() -> None:
    issuer = Issuer("good")
    issuer.answer["keys"] += [
        jwk("EdDSA", ED, kid="encrypting", use="enc"),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        {"kty": "new", "kid": "unknown"},
        {"kid": "empty"},
    ]
    keys = keys_of(issuer)
    assert await keys.find("good")
    for kid in ("encrypting", "secret", "unknown", "empty"):
        assert await keys.find(kid) is None
    assert await keys.find(None), "without a name the only key is meant"
