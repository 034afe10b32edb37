"""News between hosts: whose log has grown, and who has a new command.

A notification is a hint. It is sent after the append that it tells of, by a connection of its own,
many users in one; a host that misses it finds the change by looking, a little later.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import logging
import secrets
from collections.abc import Callable
from typing import Any

from goldenpath.errors import StoreError
from goldenpath.model.ids import UserId
from goldenpath.store.interface import Watch
from goldenpath.store.postgres.link import Link, Links
from goldenpath.store.postgres.log import Log
from goldenpath.store.postgres.server import Connection, Server
from goldenpath.store.watches import Watches

logger = logging.getLogger("goldenpath.store")

CHANNEL = "goldenpath"
_NAMED_AT_MOST = 800
"""Users in a notification: it may have 8000 bytes. More are told as everybody."""
_PAUSE_SECONDS = 0.005
"""Between notifications: under load many users share one, and nobody alone waits."""
_EVERYBODY = "*"
_NAME = 8
_SCAN_SECONDS = 3.0
_SCAN_SECONDS_DEAF = 1.0
"""While notifications do not arrive."""
_USERS_AT_ONCE = 5000

APPENDED, SUBMITTED, GIVEN_BACK = "a", "s", "g"
_SOMEBODY = "-" * _NAME


def _name(user: UserId) -> str:
    """Short, of one length, and not the user's id: notifications are seen by the whole database."""
    digest = hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=6).digest()
    return base64.urlsafe_b64encode(digest).decode()


class News:
    """See the module. `alone` tells whether anybody else would hear."""

    def __init__(self, server: Server, links: Links, log: Log, alone: Callable[[], bool]) -> None:
        self.watches = Watches()
        self.tell: Callable[[UserId | None], None] = lambda user: None
        """See `Store.on_news`."""
        self._server = server
        self._era = server.era
        self._links = links
        self._log = log
        self._alone = alone
        self._link = Link(server, self._listen)
        self._sender = secrets.token_urlsafe(6)
        self._names: dict[str, UserId] = {}
        """Users of interest here by their names: watched ones, and those with a lease."""
        self._told: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None
        self._heads: dict[UserId, tuple[str, int]] = {}
        self._deaf = True
        self._closed = False
        self._scan = asyncio.create_task(self._look(), name="goldenpath-news")

    # -- telling -----------------------------------------------------------------------------

    def appended(self, user: UserId) -> None:
        """The log of a user has grown."""
        self.watches.wake(user)
        self._say(APPENDED, user)

    def submitted(self, user: UserId) -> None:
        """A command of a user is durable."""
        self.watches.wake(user)
        self._say(SUBMITTED, user)

    def given_back(self) -> None:
        """A lease was given back of a user who waits."""
        self._say(GIVEN_BACK)

    def _say(self, kind: str, user: UserId | None = None) -> None:
        if self._closed or self._alone():
            return
        self._told[kind + (_SOMEBODY if user is None else _name(user))] = None
        if self._telling is None:
            self._telling = asyncio.create_task(self._tell_all(), name="goldenpath-notify")

    async def _tell_all(self) -> None:
        try:
            while self._told:
                told, self._told = self._told, {}
                names = "".join(told) if len(told) <= _NAMED_AT_MOST else _EVERYBODY
                payload = f"{self._sender}{names}"
                with contextlib.suppress(StoreError):  # whoever would have heard it looks
                    await self._link.run_here(lambda c, p=payload: _notify(c, p))
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            self._telling = None

    # -- hearing -----------------------------------------------------------------------------

    async def _listen(self, connection: Connection) -> None:
        # What a notification says is durable without it.
        await connection.execute("SET synchronous_commit = off")
        await connection.add_listener(CHANNEL, self._heard)
        connection.add_termination_listener(self._lost)
        self._deaf = False
        self.watches.wake_all()  # what was said before is not heard any more

    def _lost(self, _: Any) -> None:
        self._deaf = True

    def _heard(self, _: Connection, __: int, ___: str, payload: str) -> None:
        if payload.startswith(self._sender):
            return
        names = payload[len(self._sender) :]
        if names == _EVERYBODY:
            self.watches.wake_all()
            self.tell(None)
            return
        for at in range(0, len(names), _NAME + 1):
            self._heard_of(names[at], names[at + 1 : at + 1 + _NAME])

    def _heard_of(self, kind: str, name: str) -> None:
        if kind == GIVEN_BACK:
            self.tell(None)
            return
        user = self._names.get(name)
        if user is None:
            return
        if kind == APPENDED:
            self._log.ended(user)  # somebody else writes it
        else:
            self.tell(user)
        self.watches.wake(user)

    def interested(self, user: UserId) -> None:
        """News of this user matter here."""
        self._names[_name(user)] = user

    def watch(self, user: UserId) -> Watch:
        """See clause R6."""
        self.interested(user)
        return self.watches.watch(user)

    # -- looking -----------------------------------------------------------------------------

    async def _look(self) -> None:
        """What a lost notification would have told is found here."""
        while True:
            await asyncio.sleep(_SCAN_SECONDS_DEAF if self._deaf else _SCAN_SECONDS)
            try:
                if self._deaf and not self._alone():
                    await self._link.run(_nothing)  # opens it, and listens
                await self._compare()
            except StoreError as error:
                logger.debug("cannot look for news: %s", error)
            except Exception:
                logger.exception("looking for news failed")

    async def _compare(self) -> None:
        if self._era != self._server.era:  # another primary, which may have less: all must look
            self._era = self._server.era
            self._heads.clear()
        wanted = {*self.watches.users, *self._log.users}
        self._names = {_name(user): user for user in wanted}
        self._heads = {user: head for user, head in self._heads.items() if user in wanted}
        users = list(wanted)
        for at in range(0, len(users), _USERS_AT_ONCE):
            some = users[at : at + _USERS_AT_ONCE]
            before = self._log.heads(some)
            rows = await self._links.run(lambda c, some=some: _heads(c, some))
            for user, mark, head in rows:
                own = before.get(user)
                if own is not None and (own[0] != mark or own[1] > head):
                    self._log.ended(user)  # somebody else writes it, or it was set back
                    self._heads.pop(user, None)
                if self._heads.get(user) != (mark, head):
                    self._heads[user] = (mark, head)
                    self.watches.wake(user)

    async def close(self) -> None:
        """Tell what is still to be told, and stop."""
        self._closed = True
        self._scan.cancel()
        await asyncio.wait({self._scan})
        if self._telling is not None:
            await asyncio.wait({self._telling})
        await self._link.close()


async def _nothing(_: Connection) -> None:
    return


async def _notify(connection: Connection, payload: str) -> None:
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, payload)


async def _heads(connection: Connection, users: list[UserId]) -> list[Any]:
    return await connection.fetch(
        "SELECT user_id, mark, head FROM goldenpath.users WHERE user_id = ANY ($1)", users
    )
