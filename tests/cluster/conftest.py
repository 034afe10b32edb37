"""Hosts on a database, for one test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.kit import Hosts, a_database, hosts
from tests.databases import Database, versions


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def one(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database of the newest version, or of the one that a test names."""
    with a_database(getattr(request, "param", versions()[0])) as database:
        yield database


@pytest.fixture(scope="module")
def _three(tmp_path_factory: pytest.TempPathFactory, one: Database) -> Iterator[Hosts]:
    with hosts(tmp_path_factory.mktemp("cluster"), one, 3, "--drain", "20s") as cluster:
        yield cluster
        for server in cluster.running:
            server.stop()
        check(cluster, one)


@pytest.fixture
def three(_three: Hosts, one: Database, request: pytest.FixtureRequest) -> Iterator[Hosts]:
    """Three hosts. At the end the store is without a breach, and nobody has logged an error."""
    _three.renew(f"{request.node.name}-")
    yield _three
    check(_three, one)


def check(cluster: Hosts, one: Database) -> None:
    """`goldenpath check` finds nothing, and no host met what must not be."""
    done = cluster[0].command("check", "--store", one.url)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    logged = [line for server in cluster for line in server.logged()]
    assert [line for line in logged if line.get("level") == "error"] == []
