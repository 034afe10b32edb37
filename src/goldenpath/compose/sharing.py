"""What operators do with a store that several hosts share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from goldenpath.compose.stores import hide_password, is_postgres, require_driver
from goldenpath.errors import ConfigError
from goldenpath.model.ids import HostId
from goldenpath.store.interface import HostView

if TYPE_CHECKING:
    from goldenpath.store.postgres import PostgresStore

_POLL_SECONDS = 0.1
_ALIVE_MS = 10_000
_RENEWING_MS = 2000


async def migrate_store(url: str, grant: str | None) -> list[str]:
    """Bring the schema up to date; gives the names of what was applied."""
    _require_shared(url)
    from goldenpath.store import postgres

    return await postgres.migrate(url, grant)


async def list_hosts(url: str) -> list[HostView]:
    """The hosts that share the store."""
    store = await _open(url)
    try:
        return await store.hosts()
    finally:
        await store.close()


def alive(view: HostView) -> bool:
    """True for a host that has renewed lately; one that was killed is listed for a while."""
    return view.age_ms < _ALIVE_MS


async def drain_host(url: str, name: str, wait: float) -> bool:
    """Ask the host of a name or an id to leave; True when it has gone within `wait` seconds."""
    store = await _open(url)
    try:
        hosts = [view for view in await store.hosts() if alive(view)]
        named = _named(hosts, name)
        if len(named) != 1:
            known = ", ".join(view.report.name or view.host for view in hosts) or "none"
            what = "names several hosts; give an id" if named else "is no host of this store"
            raise ConfigError(f"HOST: {name!r} {what}; `goldenpath hosts` shows: {known}")
        await store.ask_to_leave(named[0])
        gone = False
        with anyio.move_on_after(wait):
            while not gone:
                gone = named[0] not in [view.host for view in await store.hosts()]
                await anyio.sleep(0 if gone else _POLL_SECONDS)
        return gone
    finally:
        await store.close()


async def compact_store(url: str) -> None:
    """Write the tables anew, without what was erased."""
    store = await _open(url)
    try:
        await store.compact()
    finally:
        await store.close()


def _named(hosts: list[HostView], name: str) -> list[HostId]:
    """Hosts of a name or an id. One that was killed and came back under its name is the new one."""
    found = [view for view in hosts if name in (view.host, view.report.name)]
    renewing = [view for view in found if view.age_ms < _RENEWING_MS]
    return [view.host for view in renewing or found]


async def _open(url: str) -> PostgresStore:
    _require_shared(url)
    from goldenpath.store import postgres

    return await postgres.open_store(url)


def _require_shared(url: str) -> None:
    if not is_postgres(url):
        raise ConfigError(
            f"store: {hide_password(url)!r} belongs to one process; hosts share a database, "
            "--store postgresql://user@host/database"
        )
    require_driver()
