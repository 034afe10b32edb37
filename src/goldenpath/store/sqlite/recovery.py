"""Replaying the tail: the users that it names, as of its end."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import apsw
import msgspec

from goldenpath.model.entries import CODEC_VERSION
from goldenpath.model.ids import UserId
from goldenpath.store.sqlite.groups import AnyOperation, decode_group
from goldenpath.store.sqlite.loader import restored
from goldenpath.store.sqlite.memory import UserState, apply
from goldenpath.store.sqlite.queries import load_users
from goldenpath.store.sqlite.sql import fetch, one

_ROWS_AT_ONCE = 256


class Replayed(NamedTuple):
    """Users whose rows differ from the settled ones."""

    states: dict[UserId, UserState]
    groups: list[tuple[int, int]]
    """(number, size) of the tail's groups."""
    last_group: int
    next_user_no: int
    old_codec: bool
    """Some entries are of an older version: they are settled before new ones come."""


def replay(connection: apsw.Connection) -> Replayed:
    """Read the tail in the caller's snapshot. Raises `CodecError`, `apsw.Error`."""
    states: dict[UserId, UserState] = {}
    groups: list[tuple[int, int]] = []
    old_codec = False
    next_no: int = one(connection, "SELECT coalesce(max(user_no), 0) + 1 FROM users")
    deleted: int = one(connection, "SELECT deleted_group FROM progress")
    last = 0
    while rows := fetch(connection, _TAIL, (last,)):
        for number, body in rows:
            group = decode_group(body)
            old_codec = old_codec or group.codec != CODEC_VERSION
            next_no = _load_missing(connection, states, group.operations, next_no)
            # Decided for the whole group: it may hold several operations of one user.
            users = {UserId(operation.user) for operation in group.operations}
            unsettled = {user for user in users if number > states[user].group}
            for operation in group.operations:
                user = UserId(operation.user)
                if user in unsettled:
                    apply(states[user], operation, number, group.codec)
            groups.append((number, len(body)))
            last = number
    erasing = msgspec.json.decode(one(connection, _ERASING), type=list[str])
    for loaded in load_users(connection, [user for user in erasing if user not in states]):
        states[UserId(loaded.user)] = restored(loaded)
    return Replayed(states, groups, max(last, deleted), next_no, old_codec)


_TAIL = (
    f"SELECT group_no, body FROM tail WHERE group_no > ? ORDER BY group_no LIMIT {_ROWS_AT_ONCE}"
)
_ERASING = "SELECT json_group_array(DISTINCT u.user) FROM erasures JOIN users u USING (user_no)"


def _load_missing(
    connection: apsw.Connection,
    states: dict[UserId, UserState],
    operations: Iterable[AnyOperation],
    next_no: int,
) -> int:
    # Loads the users of `operations` that are not in `states`; gives the next free number.
    missing = {operation.user for operation in operations if operation.user not in states}
    for loaded in load_users(connection, list(missing)):
        states[UserId(loaded.user)] = restored(loaded)
    for user in sorted(missing):
        if user not in states:
            states[UserId(user)] = UserState(UserId(user), next_no)
            next_no += 1
    return next_no


def waiting_users(connection: apsw.Connection) -> list[UserId]:
    """Users with waiting commands, as settled."""
    text = one(
        connection,
        "SELECT json_group_array(DISTINCT u.user) FROM inbox i JOIN users u USING (user_no)"
        " WHERE i.waits = 1",
    )
    return msgspec.json.decode(text, type=list[UserId])


def due_users(connection: apsw.Connection) -> list[tuple[int, UserId]]:
    """(due, user) of all users that are due at some time, as settled."""
    text = one(
        connection,
        "SELECT json_group_array(json_array(due_ms, user)) FROM users WHERE due_ms IS NOT NULL",
    )
    return msgspec.json.decode(text, type=list[tuple[int, UserId]])
