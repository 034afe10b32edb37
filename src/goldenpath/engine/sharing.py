"""How hosts of one store share its users: whose turn it is to take up one who waits.

Whoever takes a user's lease first has it; this only keeps hosts from running to the same users,
and brings a dead or leaving host's users evenly to the others. Hosts that see one another for a
moment differently lose a little time by it, and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from goldenpath.model.ids import HostId, UserId
from goldenpath.store.interface import LivingHost

_CHOSEN_SECONDS = 0.9
"""A user who has waited for so long was not taken up where it was accepted what it asked for."""
_ANYBODY_SECONDS = 1.9
"""After so long a user who still waits is anybody's."""
_SLACK = 50
"""So many engines more than the least busy host may a host have, and half as many again."""


class Sharing:
    """What one host knows of the others, and of users who wait for one of them."""

    def __init__(self, host: HostId) -> None:
        self._host = host
        self._takers: list[HostId] = [host]
        self.alone = True
        """No other host takes users up."""
        self._waiting: dict[UserId, float] = {}

    def seen(self, others: Sequence[LivingHost], engines: int) -> None:
        """Take over what the last renewal showed."""
        load = {other.host: other.report.engines for other in others if not other.report.draining}
        self.alone = not load
        load[self._host] = engines
        most = 1.5 * min(load.values()) + _SLACK
        self._takers = [host for host, engines in load.items() if engines <= most]

    def mine(self, users: Iterable[UserId], now: float, *, orphans: bool) -> list[UserId]:
        """Of users who wait: those that this host should take up now.

        `orphans`: another host has gone, or given users back; they need not wait any longer.
        """
        if self.alone:
            return list(users)
        before, self._waiting = self._waiting, {}
        taken: list[UserId] = []
        for user in users:
            since = self._waiting[user] = before.get(user, now)
            patience = _ANYBODY_SECONDS
            if self._chosen(user) == self._host:
                patience = 0.0 if orphans else _CHOSEN_SECONDS
            if now - since >= patience:
                taken.append(user)
        return taken

    def _chosen(self, user: UserId) -> HostId:
        """Rendezvous hashing: a host that comes or goes moves only the users that it must."""
        return max(self._takers, key=lambda host: _weight(host, user))


def _weight(host: HostId, user: UserId) -> bytes:
    text = f"{host} {user}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=8).digest()
