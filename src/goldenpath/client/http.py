"""What is read by HTTP: the lists, the histories, single runs."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import msgspec

from goldenpath.client.tokens import Tokens
from goldenpath.errors import UNREADABLE, CodecError, ConfigError, RefusedError
from goldenpath.model.entries import EncodedEntry, Entry, decode
from goldenpath.model.events import EVENT_TYPES
from goldenpath.wire.frames import AgentInfo

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class MessageItem(msgspec.Struct, frozen=True, kw_only=True):
    """A question (`role` user) or an answer (assistant; its `message_id` is the run's id)."""

    message_id: str
    role: str
    text: str
    time: str | None = None
    run_id: str | None = None
    status: str | None = None


class OpenRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run that has not ended when a history was read."""

    run_id: str
    parent_run_id: str | None = None
    parts: list[Any] = []
    tools: list[Any] = []
    approvals: list[Any] = []


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The newest messages of a thread, oldest first, as of seq `as_of`; `next` leads to older."""

    items: list[MessageItem]
    next: str | None = None
    as_of: int
    mark: str
    open_runs: list[OpenRun] = []


class ThreadItem(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation."""

    thread_id: str
    title: str | None = None
    archived: bool = False


class ThreadPage(msgspec.Struct, frozen=True, kw_only=True):
    """Threads, newest first; `next` leads to older ones."""

    items: list[ThreadItem]
    next: str | None = None


class _RunEvents(msgspec.Struct):
    items: list[msgspec.Raw]
    next: str | None = None


class _Agents(msgspec.Struct):
    items: list[AgentInfo]


class _Head(msgspec.Struct):
    seq: int
    type: str


class _Problem(msgspec.Struct):
    code: str = "unavailable"
    message: str | None = None
    title: str | None = None
    retryable: bool = False


def base_url(url: str) -> str:
    """Check a server's address and cut it to its base. Raises `ConfigError`."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"url: {url!r} cannot be used; give one like http://127.0.0.1:8700")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def is_loopback(url: str) -> bool:
    """True for an address of this machine, which no proxy could reach."""
    return urlsplit(url).hostname in _LOOPBACK


class Api:
    """The HTTP API, read with the client's token. Raises `RefusedError` and `httpx` errors."""

    def __init__(self, url: str, tokens: Tokens) -> None:
        self._tokens = tokens
        self._http = httpx.AsyncClient(
            base_url=base_url(url), timeout=30.0, trust_env=not is_loopback(url)
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def me(self) -> dict[str, Any]:
        """The user, with limits, usage, head and mark."""
        return msgspec.json.decode(await self._get("/v1/me"), type=dict[str, Any])

    async def agents(self) -> list[AgentInfo]:
        """What can be run."""
        return msgspec.json.decode(await self._get("/v1/agents"), type=_Agents).items

    async def threads(self, *, limit: int = 20, cursor: str | None = None) -> ThreadPage:
        """A page of threads."""
        content = await self._get("/v1/threads", limit=limit, cursor=cursor)
        return msgspec.json.decode(content, type=ThreadPage)

    async def messages(
        self, thread_id: str, *, limit: int = 20, cursor: str | None = None
    ) -> History:
        """A page of a thread's history, of `limit` runs; `follow(history=...)` goes on from it."""
        path = f"/v1/threads/{quote(thread_id, safe='')}/messages"
        return msgspec.json.decode(await self._get(path, limit=limit, cursor=cursor), type=History)

    async def run(self, run_id: str) -> dict[str, Any]:
        """A run's status, output and error."""
        path = f"/v1/runs/{quote(run_id, safe='')}"
        return msgspec.json.decode(await self._get(path), type=dict[str, Any])

    async def run_events(self, run_id: str) -> list[Entry]:
        """The events of a run so far, oldest first, those newer than this client left out."""
        path = f"/v1/runs/{quote(run_id, safe='')}/events"
        entries: list[Entry] = []
        cursor: str | None = None
        while True:
            page = msgspec.json.decode(
                await self._get(path, limit=200, cursor=cursor), type=_RunEvents
            )
            for raw in page.items:
                head = msgspec.json.decode(raw, type=_Head)
                if head.type in EVENT_TYPES:
                    entries.append(decode(EncodedEntry(head.seq, head.type, False, bytes(raw))))
            cursor = page.next
            if cursor is None:
                return entries

    async def search(self, query: str) -> list[dict[str, Any]]:
        """The user's own questions and answers with all words of `query`."""
        content = await self._get("/v1/search", q=query)
        return msgspec.json.decode(content, type=dict[str, Any])["items"]

    async def _get(self, path: str, **query: str | int | None) -> bytes:
        parameters = {name: value for name, value in query.items() if value is not None}
        response = await self._http.get(
            path, params=parameters, headers=_bearer(await self._tokens.current())
        )
        if response.status_code == 401 and self._tokens.renewable:
            response = await self._http.get(
                path, params=parameters, headers=_bearer(await self._tokens.fresh())
            )
        if response.is_success:
            return response.content
        raise refusal(response)


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def refusal(response: httpx.Response) -> RefusedError:
    """Read a problem+json answer; what is none comes from something between us and the server."""
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (CodecError, *UNREADABLE):
        problem = _Problem(retryable=response.status_code >= 500)
    message = problem.message or problem.title or f"HTTP {response.status_code}"
    return RefusedError(problem.code, message, retryable=problem.retryable)
