"""A URL that names several servers: the primary of now is found, whatever the others say."""

from __future__ import annotations

from collections.abc import Iterator

import anyio
import pytest

from goldenpath.errors import StoreOpenError
from goldenpath.store.postgres.server import Server, _each
from goldenpath.testing.postgres import PostgresServer
from tests.databases import versions


@pytest.fixture(params=versions(), ids=lambda version: f"postgres-{version}")
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A primary and its standby."""
    with PostgresServer(version=request.param) as primary:
        standby = PostgresServer(version=request.param)
        try:
            standby.copy_of(primary, "standby")
            standby.start()
            yield primary, standby
        finally:
            standby.close()


def port_of(server: Server, *, to_read: bool = False) -> int:
    async def ask() -> int:
        connection = await server.connect(to_read=to_read)
        try:
            return await connection.fetchval("SELECT inet_server_port()")
        finally:
            await connection.close()

    return anyio.run(ask)


def test_a_url_of_several_servers_is_one_for_each() -> None:
    assert _each("postgresql://u:p@a:1,b/x?y=1,2") == [
        "postgresql://u:p@a:1/x?y=1,2",
        "postgresql://u:p@b/x?y=1,2",
    ]
    for one in ("postgresql://u:p@a:1/x", "postgresql://a", "postgresql:///x?host=/tmp", "?"):
        assert _each(one) == [one]


def test_an_old_primary_does_not_stand_before_the_new_one(
    pair: tuple[PostgresServer, PostgresServer],
) -> None:
    primary, standby = pair
    place = primary.url().rpartition("@")
    both = f"{place[0]}@127.0.0.1:{primary.port},127.0.0.1:{standby.port}/postgres"
    server = Server(both)
    assert port_of(server) == primary.port
    primary.kill()
    with pytest.raises(StoreOpenError, match="cannot be used"):
        port_of(server)
    standby.promote()
    assert port_of(server) == standby.port
    primary.start()  # as a supervisor does that knows nothing
    assert port_of(server) == standby.port
    assert port_of(server, to_read=True) == standby.port
    standby.kill()
    with pytest.raises(StoreOpenError, match=r"old primary \(timeline 1, 2 was seen\)"):
        port_of(server, to_read=True)
