"""Moves a store to another technology, and sees that all of it has arrived."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from goldenpath.compose.stores import (
    Reader,
    hide_password,
    is_postgres,
    open_reader,
    require_driver,
    require_file,
    store_path,
)
from goldenpath.errors import ConfigError, StoreOpenError
from goldenpath.model.ids import RunId, Seq, UserId
from goldenpath.store import sqlite
from goldenpath.store.image import Record
from goldenpath.store.interface import UndeliveredAnswer
from goldenpath.store.verify import verify_user

_EVERYTHING = 1_000_000_000
_ENTRIES_AT_ONCE = 1000


class Moved(NamedTuple):
    """What arrived, seen to be the same: users and entries."""

    users: int
    entries: int


async def move_store(source: str, target: str) -> Moved:
    """Copy a file's store, whose server is stopped, into an empty PostgreSQL database.

    Every entry and row is read again from both and compared. Clients go on where they were; what
    was running goes on in new activations. Raises `ConfigError`, `StoreError`; the source is
    unchanged in any case, and the target is empty unless everything was written.
    """
    path = store_path(source)
    require_file(path)
    if not is_postgres(target):
        raise ConfigError(
            f"TARGET: {hide_password(target)!r} cannot be used; give postgresql://user@host/database"
        )
    require_driver()
    from goldenpath.store import postgres

    records: AsyncIterator[Record] = sqlite.read_records(path)
    await postgres.fill(target, records)
    async with open_reader(source) as old, open_reader(target) as new:
        return await _compare(old, new)


async def _compare(old: Reader, new: Reader) -> Moved:
    users = entries = 0
    last: UserId | None = None
    while page := await old.users(last):
        if page != await new.users(last):
            raise StoreOpenError(f"the copy has other users after {last!r}")
        for user in page:
            entries += await _compare_log(old, new, user)
            await _compare_rows(old, new, user)
            # What was broken before stays what it was; nothing else may be.
            known = await verify_user(old, user)
            for breach in await verify_user(new, user):
                if breach not in known:
                    raise _differs(user, f"{breach.invariant}: {breach.message}")
            users += 1
        last = page[-1]
    if _ids(await old.undelivered(_EVERYTHING)) != _ids(await new.undelivered(_EVERYTHING)):
        raise StoreOpenError("the copy tells other answers as undelivered")
    if await new.users(last):
        raise StoreOpenError("the copy has users that the source has not")
    return Moved(users, entries)


def _ids(answers: Sequence[UndeliveredAnswer]) -> set[RunId]:
    return {answer.run.run_id for answer in answers}


async def _compare_log(old: Reader, new: Reader, user: UserId) -> int:
    if await old.head(user) != await new.head(user):
        raise _differs(user, "its head is another one")
    after = Seq(0)
    while True:
        codec, here = await old.entries(user, after, _ENTRIES_AT_ONCE)
        codec_there, there = await new.entries(user, after, _ENTRIES_AT_ONCE)
        both = min(len(here), len(there))
        if not here and not there:
            return int(after)
        if codec != codec_there or not both or here[:both] != there[:both]:
            raise _differs(user, f"the log after {after} is another one")
        after = Seq(here[both - 1].seq)


async def _compare_rows(old: Reader, new: Reader, user: UserId) -> None:
    if await old.threads(user, _EVERYTHING, None) != await new.threads(user, _EVERYTHING, None):
        raise _differs(user, "its threads are others")
    if await old.runs(user, None, _EVERYTHING) != await new.runs(user, None, _EVERYTHING):
        raise _differs(user, "its runs are others")
    if await old.pending(user) != await new.pending(user):
        raise _differs(user, "its waiting commands are others")


def _differs(user: UserId, how: str) -> StoreOpenError:
    return StoreOpenError(f"the copy of user {user!r} is not the same: {how}")
