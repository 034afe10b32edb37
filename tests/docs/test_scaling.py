"""The numbers of docs/scaling.md are those of the code."""

from __future__ import annotations

import pytest

from goldenpath.engine import host
from goldenpath.store.postgres import link, news, server, store
from tests.docs.pages import ROOT

TEXT = " ".join((ROOT / "docs" / "scaling.md").read_text().split())


@pytest.mark.anyio
async def test_a_host_has_as_many_connections_as_are_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[link.Link] = []
    begin = link.Link.__init__

    def counted(self: link.Link, *args: object, **names: object) -> None:
        made.append(self)
        begin(self, *args, **names)  # type: ignore[arg-type]

    monkeypatch.setattr(link.Link, "__init__", counted)
    one = store.PostgresStore(server.Server("postgresql://nowhere"), store.LEASE_SECONDS)
    await one.close()
    assert f"A host opens up to {len(made)} connections" in TEXT
    assert f"max_connections = {len(made)} × (hosts" in TEXT


def test_times_are_those_of_the_code() -> None:
    assert store.LEASE_SECONDS == 3 and "for **3 seconds**" in TEXT
    assert min(host._RENEW_SECONDS, store.LEASE_SECONDS / 6) == 0.5 and "twice a second" in TEXT
    assert server._LAST_PAUSE_S == 2 and "up to 2 seconds for hosts to ask again" in TEXT
    assert server.CONNECT_SECONDS == 5 and "up to 5 where nothing answers at all" in TEXT
    assert host._SCAN_SECONDS == 1 and news._SCAN_SECONDS == 3 and news._SCAN_SECONDS_DEAF == 1
    assert "nobody has every second, for news of the logs that it reads every 3 seconds" in TEXT
