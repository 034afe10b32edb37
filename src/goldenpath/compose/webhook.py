"""Tells another service of answers that nobody received: a signed webhook, durable and repeated.

What is to be told, and when again, is in the store: hosts that share it tell each answer once, and
one that dies on the way is repeated by whoever comes next, under the same `webhook-id`. The form is
that of Standard Webhooks (https://www.standardwebhooks.com). It never holds a text.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime

import httpx
import msgspec

from goldenpath.compose.outgoing import Answer
from goldenpath.config import Settings
from goldenpath.engine.ports import Clock, Ids
from goldenpath.errors import AddressRefusedError, ConfigError, OutgoingError, StoreError
from goldenpath.model.entries import format_time
from goldenpath.store.interface import Claim, Notice, Store

logger = logging.getLogger("goldenpath.webhook")

TYPE = "answer.undelivered"
GIVE_UP_MS = 3 * 86_400_000
"""For so long it is tried, from when the first attempt may be made."""
_AT_ONCE = 8
"""Claimed and sent together, so that each is answered long before it may be claimed again."""
_LOOK_SECONDS = 10.0
_LEAST_LOOK_SECONDS = 0.25
_SECRET = "whsec_"  # noqa: S105
_SECRET_BYTES = range(24, 65)
_CALM_SECONDS = (1.0, 3600.0)
"""The bounds within which a `Retry-After` is honoured."""

Post = Callable[[bytes, Mapping[str, str]], Awaitable[Answer]]
"""Posts a body with headers. Raises `OutgoingError`."""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """Where to tell, after how long, signed by which key."""

    url: str
    after_ms: int
    key: bytes
    allow_private: bool


def webhook_of(settings: Settings) -> Webhook | None:
    """What the settings say; None without a URL. Raises `ConfigError`."""
    if settings.webhook_url is None:
        return None
    allow_private = settings.webhook_allow_private == "yes"
    return Webhook(
        url=_checked_url(settings.webhook_url, allow_private),
        after_ms=round(settings.webhook_after * 1000),
        key=_key(settings.webhook_secret),
        allow_private=allow_private,
    )


def _checked_url(url: str, allow_private: bool) -> str:
    # Whatever else stands in it may be a secret, so that nothing of it is shown.
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL:
        parts = httpx.URL("")
    usable = parts.scheme in ("http", "https") and parts.host and 0 < (parts.port or 443) < 65536
    if not usable or " " in url:
        raise ConfigError("webhook-url: (hidden) is no address; give https://host/path")
    if parts.userinfo or parts.fragment:
        raise ConfigError("webhook-url: (hidden) has a user or a fragment; give it without")
    if parts.scheme == "http" and not allow_private:
        raise ConfigError(
            "webhook-url: (hidden) is http://, which is for private networks; give an https:// "
            "address, or --webhook-allow-private yes"
        )
    return url


def _key(secret: str | None) -> bytes:
    remedy = f"give {_SECRET} and 24 to 64 bytes in base64: {_SECRET}$(openssl rand -base64 32)"
    if secret is None:
        raise ConfigError(f"GOLDENPATH_WEBHOOK_SECRET: not set, but webhook-url is; {remedy}")
    try:
        key = base64.b64decode(secret.removeprefix(_SECRET), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(_SECRET) or len(key) not in _SECRET_BYTES:
        raise ConfigError(f"GOLDENPATH_WEBHOOK_SECRET: (hidden) cannot be used; {remedy}")
    return key


def signed(key: bytes, webhook_id: str, seconds: int, body: bytes) -> dict[str, str]:
    """The headers of a message: id, time (Unix seconds) and signature."""
    content = f"{webhook_id}.{seconds}.".encode() + body
    mac = hmac.new(key, content, hashlib.sha256).digest()
    return {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def message(notice: Notice, after_ms: int) -> tuple[str, bytes]:
    """(id, body): the same for every attempt."""
    body = {
        "type": TYPE,
        "timestamp": format_time(notice.ended_ms + after_ms),
        "data": {
            "user_id": notice.user,
            "thread_id": notice.thread_id,
            "run_id": notice.run_id,
            "agent": notice.agent,
            "status": notice.status,
            "ended": format_time(notice.ended_ms),
        },
    }
    return f"undelivered_{notice.run_id}", msgspec.json.encode(body)


class Notifier:
    """Looks for undelivered answers, and tells of them."""

    def __init__(
        self,
        webhook: Webhook,
        post: Post,
        store: Store,
        clock: Clock,
        ids: Ids,
        count: Callable[[str, int], None],
    ) -> None:
        """`count` is told of each outcome, and how many there were."""
        self._webhook = webhook
        self._post = post
        self._store = store
        self._clock = clock
        self._ids = ids
        self._count = count
        self._gone = False
        self._calm_until_ms = 0

    async def run(self) -> None:
        """For ever; a store that is down is asked again later."""
        often = min(_LOOK_SECONDS, max(self._webhook.after_ms / 4000, _LEAST_LOOK_SECONDS))
        while True:
            await asyncio.sleep(often * (0.75 + self._ids.random() / 2))
            try:
                await self.round()
            except StoreError as error:
                logger.warning("webhooks are put off", extra={"reason": str(error)})
            except Exception:  # the outermost boundary of this task: the next round may do
                logger.exception("a round of webhooks failed")

    async def round(self) -> None:
        """Tell of what is due now, until there is no more or the receiver takes none of it."""
        given_up = 0
        try:
            while not self._gone and not self._calm():
                claim = await self._claim()
                given_up += claim.given_up
                if not await self._tell_all(claim.notices) and not claim.given_up:
                    return  # nothing is due, or what is waits for a better time
        finally:
            if given_up:
                self._count("given_up", given_up)
                logger.error("webhooks given up as too old", extra={"answers": given_up})

    async def _claim(self) -> Claim:
        now_ms = self._clock.now_ms()
        return await self._store.claim_notices(
            now_ms,
            ended_after_ms=now_ms - self._webhook.after_ms - GIVE_UP_MS,
            ended_before_ms=now_ms - self._webhook.after_ms,
            stretch=1 + self._ids.random() / 2,
            limit=_AT_ONCE,
        )

    async def _tell_all(self, notices: Sequence[Notice]) -> bool:
        """True if one of them was taken."""
        async with asyncio.TaskGroup() as tasks:
            sent = [tasks.create_task(self._tell(notice)) for notice in notices]
        return any(task.result() for task in sent)

    def _calm(self) -> bool:
        """True while the receiver wants to be left alone; false if the clock was set back."""
        return 0 < self._calm_until_ms - self._clock.now_ms() <= _CALM_SECONDS[1] * 1000

    async def _tell(self, notice: Notice) -> bool:
        webhook_id, body = message(notice, self._webhook.after_ms)
        seconds = self._clock.now_ms() // 1000
        try:
            answer = await self._post(body, signed(self._webhook.key, webhook_id, seconds, body))
        except AddressRefusedError as error:
            self._failed("blocked", notice, str(error))
        except OutgoingError as error:
            self._failed("failed", notice, str(error))
        else:
            return await self._answered(answer, notice)
        return False

    async def _answered(self, answer: Answer, notice: Notice) -> bool:
        if 200 <= answer.status < 300:
            try:
                await self._store.notified(notice.user, notice.run_id)
            except StoreError as error:
                self._failed("failed", notice, f"it was told, but that is not noted: {error}")
                return False
            self._count("delivered", 1)
            return True
        if answer.status == 410:
            if not self._gone:
                logger.error("webhook-url is gone (410): no more is told until a restart")
            self._gone = True
            self._count("gone", 1)
            return False
        if answer.status in (429, 503):
            self._calm_until_ms = max(self._calm_until_ms, self._calm_end_ms(answer.retry_after))
        self._failed("failed", notice, f"status {answer.status}")
        return False

    def _calm_end_ms(self, retry_after: str | None) -> int:
        if retry_after is None:
            return 0
        now_ms = self._clock.now_ms()
        try:
            if retry_after.isascii() and retry_after.isdigit():
                seconds = float(retry_after)
            else:
                seconds = parsedate_to_datetime(retry_after).timestamp() - now_ms / 1000
        except (ValueError, OverflowError, OSError):
            return 0
        least, most = _CALM_SECONDS
        return now_ms + int(min(max(seconds, least), most) * 1000)

    def _failed(self, outcome: str, notice: Notice, reason: str) -> None:
        self._count(outcome, 1)
        logger.warning(
            "a webhook failed",
            extra={
                "reason": reason,
                "run": notice.run_id,
                "attempt": notice.attempt,
                "again": format_time(notice.again_ms),
            },
        )
