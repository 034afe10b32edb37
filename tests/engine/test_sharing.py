"""Users who wait are shared between hosts: by choice first, by anybody after a while."""

from __future__ import annotations

from collections import Counter

from goldenpath.engine.sharing import Sharing
from goldenpath.model.ids import HostId, UserId
from goldenpath.store.interface import HostReport, LivingHost

HOSTS = [HostId(f"host{number}") for number in range(4)]
USERS = [UserId(f"user{number}") for number in range(400)]


def sharing(host: HostId, others: list[HostId], **report: object) -> Sharing:
    one = Sharing(host)
    about = HostReport(**report)  # type: ignore[arg-type]
    one.seen([LivingHost(other, about) for other in others if other != host], 0)
    return one


def taken(hosts: list[HostId], users: list[UserId] = USERS) -> dict[UserId, list[HostId]]:
    found: dict[UserId, list[HostId]] = {user: [] for user in users}
    for host in hosts:
        for user in sharing(host, hosts).mine(users, 0.0, orphans=True):
            found[user].append(host)
    return found


def test_each_orphan_is_taken_by_one_host_and_evenly() -> None:
    found = taken(HOSTS)
    assert all(len(hosts) == 1 for hosts in found.values())
    shares = Counter(hosts[0] for hosts in found.values())
    assert set(shares) == set(HOSTS) and min(shares.values()) > 60


def test_a_host_that_goes_moves_only_its_own_users() -> None:
    before, after = taken(HOSTS), taken(HOSTS[1:])
    assert all(after[user] == hosts for user, hosts in before.items() if hosts != [HOSTS[0]])


def test_who_asked_just_now_is_left_to_whoever_accepted_it() -> None:
    one = sharing(HOSTS[0], HOSTS)
    assert one.mine(USERS, 0.0, orphans=False) == []
    chosen = one.mine(USERS, 1.0, orphans=False)
    assert 60 < len(chosen) < 140
    assert one.mine(USERS, 2.0, orphans=False) == USERS, "who still waits is anybody's"
    one.mine([], 3.0, orphans=False)
    assert one.mine(USERS, 4.0, orphans=False) == [], "waiting begins anew"


def test_a_host_that_is_alone_waits_for_nobody() -> None:
    one = Sharing(HOSTS[0])
    assert one.alone and one.mine(USERS, 0.0, orphans=False) == USERS
    assert sharing(HOSTS[0], HOSTS[:2], draining=True).alone


def test_a_busy_host_takes_no_more_than_it_has_to() -> None:
    busy = Sharing(HOSTS[0])
    busy.seen([LivingHost(HOSTS[1], HostReport(engines=10))], 100)
    assert busy.mine(USERS, 0.0, orphans=True) == []
    assert busy.mine(USERS, 2.0, orphans=True) == USERS
