"""The page of metrics has every promised name, true numbers, and no user."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from goldenpath.errors import StoreUnavailableError
from goldenpath.model.ids import UserId
from goldenpath.store.interface import CommitStats
from goldenpath.telemetry.metrics import Metrics

PROMISED = [
    'goldenpath_runs_total{status="succeeded"}',
    "goldenpath_run_queue",
    "goldenpath_first_event_seconds",
    "goldenpath_delivery_lag_seconds",
    "goldenpath_answers_produced_total",
    "goldenpath_answers_delivered_total",
    "goldenpath_answers_undelivered",
    "goldenpath_store_commit_seconds",
    "goldenpath_store_group_size",
    "goldenpath_sockets",
    "goldenpath_engines",
    "goldenpath_abandoned_bodies",
]


def samples(metrics: Metrics) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[sample.name + ("{" + labels + "}" if labels else "")] = sample.value
    return found


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_metric_is_there_before_anything_happened(name: str) -> None:
    assert any(line.startswith(name) for line in Metrics().render().decode().splitlines())


def test_what_happens_is_counted() -> None:
    metrics = Metrics(CommitStats(groups=4, operations=10, seconds=0.5))
    metrics.run_ended("succeeded", None, 1.0)
    metrics.run_ended("failed", "crashed", 1.0)
    metrics.first_event(0.004)
    metrics.first_event(100.0)
    metrics.delivery_lag(0.02)
    metrics.answer_produced()
    metrics.answer_delivered()
    metrics.body_abandoned("tool", 2)
    metrics.sockets(6)
    metrics.quarantined(UserId("ada"), "broken")
    metrics.engine_failed(UserId("ada"), RuntimeError())
    metrics.loop_blocked(0.5)
    found = samples(metrics)
    assert found['goldenpath_runs_total{status="succeeded"}'] == 1
    assert found['goldenpath_runs_total{status="failed"}'] == 1
    assert found['goldenpath_first_event_seconds_bucket{le="0.0025"}'] == 0
    assert found['goldenpath_first_event_seconds_bucket{le="0.005"}'] == 1
    assert found['goldenpath_first_event_seconds_bucket{le="60.0"}'] == 1
    assert found['goldenpath_first_event_seconds_bucket{le="+Inf"}'] == 2
    assert found["goldenpath_first_event_seconds_sum"] == pytest.approx(100.004)
    assert found['goldenpath_delivery_lag_seconds_bucket{le="0.02"}'] == 1
    assert found["goldenpath_answers_produced_total"] == 1
    assert found["goldenpath_answers_delivered_total"] == 1
    assert found["goldenpath_abandoned_bodies"] == 2
    assert found["goldenpath_sockets"] == 6
    assert found["goldenpath_quarantined_users_total"] == 1
    assert found["goldenpath_engine_failures_total"] == 1
    assert found["goldenpath_loop_blocked_total"] == 1
    assert found["goldenpath_store_commit_seconds_sum"] == 0.5
    assert found["goldenpath_store_commit_seconds_count"] == 4
    assert found["goldenpath_store_group_size_sum"] == 10
    assert b"ada" not in metrics.render()


class FakeStore:
    """Answers the one question that metrics ask, or fails."""

    def __init__(self) -> None:
        self.stats = CommitStats(groups=1)
        self.answers = [object(), object()]
        self.asked = 0
        self.down = False

    async def undelivered(self, limit: int) -> list[object]:
        self.asked += 1
        if self.down:
            raise StoreUnavailableError("away")
        return self.answers[:limit]


class FakeHost:
    """Has a store, two engines and three waiting runs."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.engines = 2
        self.waiting = 3


@pytest.mark.anyio
async def test_undelivered_answers_are_read_from_the_store_and_not_at_every_scrape() -> None:
    host, metrics = FakeHost(), Metrics()
    await metrics.refresh(host)  # type: ignore[arg-type]
    await metrics.refresh(host)  # type: ignore[arg-type]
    assert samples(metrics)["goldenpath_answers_undelivered"] == 2
    assert samples(metrics)["goldenpath_engines"] == 2
    assert samples(metrics)["goldenpath_run_queue"] == 3
    assert host.store.asked == 1


@pytest.mark.anyio
async def test_a_store_that_is_down_does_not_break_the_page() -> None:
    host, metrics = FakeHost(), Metrics()
    host.store.down = True
    await metrics.refresh(host)  # type: ignore[arg-type]
    assert samples(metrics)["goldenpath_answers_undelivered"] == 0
