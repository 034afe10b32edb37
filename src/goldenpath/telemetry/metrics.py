"""Counts what happens and renders it as Prometheus text. No label ever holds a user.

Hooks run on the event loop at every event, so they only add to plain numbers; everything else
happens at a scrape.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Iterator
from typing import Protocol

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    SummaryMetricFamily,
)
from prometheus_client.metrics_core import Metric

from goldenpath.engine.ports import Observer
from goldenpath.errors import StoreError
from goldenpath.store.interface import CommitStats, Store

logger = logging.getLogger("goldenpath")

UNDELIVERED_LIMIT = 10_000
"""The undelivered answers are counted up to here; more show as this number."""
UNDELIVERED_SECONDS = 5.0
"""A count of undelivered answers is used again for this long."""
RUN_STATUSES = ("succeeded", "failed", "cancelled", "timed_out")
WEBHOOK_OUTCOMES = ("delivered", "failed", "blocked", "gone", "given_up")
_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class Host(Protocol):
    """What is read at a scrape: `engines` alive and root runs `waiting`, beside the store."""

    @property
    def store(self) -> Store: ...
    @property
    def engines(self) -> int: ...
    @property
    def waiting(self) -> int: ...


class Histogram:
    """Counts of seconds below fixed bounds; `observe` is a bisection and two additions."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Add one measurement."""
        self._counts[bisect_left(_BOUNDS, seconds)] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """Number of measurements."""
        return sum(self._counts)

    def cumulative(self) -> list[tuple[str, float]]:
        """Give (upper bound, count at or below it) for each bound, the last `+Inf`."""
        rows: list[tuple[str, float]] = []
        sum_ = 0
        for bound, count in zip((*map(str, _BOUNDS), "+Inf"), self._counts, strict=True):
            sum_ += count
            rows.append((bound, sum_))
        return rows


class Metrics(Observer):
    """The engine's and server's observer, and the source of `GET /metrics`."""

    def __init__(self, store_stats: CommitStats | None = None) -> None:
        self.store_stats = store_stats or CommitStats()
        self._runs: dict[str, int] = dict.fromkeys(RUN_STATUSES, 0)
        self._queue = 0
        self._first_event = Histogram()
        self._delivery_lag = Histogram()
        self._produced = 0
        self._delivered = 0
        self._undelivered = 0
        self._undelivered_at: float | None = None
        self._sockets = 0
        self._engines = 0
        self._abandoned = 0
        self._quarantined = 0
        self._engine_failures = 0
        self._webhooks: dict[str, int] = dict.fromkeys(WEBHOOK_OUTCOMES, 0)
        self._blocked = 0
        self._blocked_seconds = 0.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)  # pyright: ignore[reportArgumentType]

    # hooks of Observer
    def run_ended(self, status: str, code: str | None, seconds: float) -> None:
        self._runs[status] = self._runs.get(status, 0) + 1

    def first_event(self, seconds: float) -> None:
        self._first_event.observe(seconds)

    def answer_produced(self) -> None:
        self._produced += 1

    def answer_delivered(self) -> None:
        self._delivered += 1

    def delivery_lag(self, seconds: float) -> None:
        self._delivery_lag.observe(seconds)

    def body_abandoned(self, what: str, alive: int) -> None:
        self._abandoned = alive
        logger.warning("a body did not stop when cancelled", extra={"what": what, "alive": alive})

    def abandoned_body_ended(self, alive: int) -> None:
        self._abandoned = alive

    def sockets(self, count: int) -> None:
        self._sockets = count

    def quarantined(self, user: str, reason: str) -> None:
        self._quarantined += 1

    def engine_failed(self, user: str, error: BaseException) -> None:
        self._engine_failures += 1

    def loop_blocked(self, seconds: float) -> None:
        """Told by the watchdog: the event loop stood still for this long."""
        self._blocked += 1
        self._blocked_seconds += seconds

    def webhook(self, outcome: str, count: int) -> None:
        """Told by the webhook's sender: so many attempts ended like this."""
        self._webhooks[outcome] = self._webhooks.get(outcome, 0) + count

    async def refresh(self, host: Host) -> None:
        """Read what the host and its store know; call before `render`.

        The store is asked at most every few seconds; when it does not answer the last count stays.
        """
        store = host.store
        self.store_stats = store.stats
        self._engines = host.engines
        self._queue = host.waiting
        now = time.monotonic()
        if self._undelivered_at is not None and now - self._undelivered_at < UNDELIVERED_SECONDS:
            return
        self._undelivered_at = now
        try:
            self._undelivered = len(await store.undelivered(UNDELIVERED_LIMIT))
        except StoreError:
            return

    def render(self) -> bytes:
        """Render everything as Prometheus text."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """Called by the registry at a scrape."""
        runs = CounterMetricFamily("goldenpath_runs", "Runs that ended.", labels=["status"])
        for status, count in self._runs.items():
            runs.add_metric([status], count)
        yield runs
        yield _gauge("run_queue", "Runs that wait for a slot or their thread.", self._queue)
        yield _histogram(
            "first_event_seconds", "From a message to its first durable event.", self._first_event
        )
        yield _histogram(
            "delivery_lag_seconds",
            "From an event's append to its write to a reader that had caught up.",
            self._delivery_lag,
        )
        yield _counter(
            "answers_produced", "Answers of root runs that became durable.", self._produced
        )
        yield _counter("answers_delivered", "Answers acknowledged or fetched.", self._delivered)
        yield _gauge(
            "answers_undelivered",
            f"Answers that nobody acknowledged or fetched (counted to {UNDELIVERED_LIMIT}).",
            self._undelivered,
        )
        webhooks = CounterMetricFamily(
            "goldenpath_webhooks", "Attempts to tell of undelivered answers.", labels=["outcome"]
        )
        for outcome, count in self._webhooks.items():
            webhooks.add_metric([outcome], count)
        yield webhooks
        stats = self.store_stats
        yield SummaryMetricFamily(
            "goldenpath_store_commit_seconds",
            "Time of a group's commit.",
            count_value=stats.groups,
            sum_value=stats.seconds,
        )
        yield SummaryMetricFamily(
            "goldenpath_store_group_size",
            "Operations in a commit.",
            count_value=stats.groups,
            sum_value=stats.operations,
        )
        yield _gauge("sockets", "Open sockets.", self._sockets)
        yield _gauge("engines", "Engines alive.", self._engines)
        yield _gauge("abandoned_bodies", "Bodies that did not stop and still run.", self._abandoned)
        yield _counter("quarantined_users", "Logs that cannot be applied.", self._quarantined)
        yield _counter(
            "engine_failures", "Activations that ended by an error.", self._engine_failures
        )
        yield _counter("loop_blocked", "Times the event loop stood still too long.", self._blocked)
        yield _counter(
            "loop_blocked_seconds", "Seconds the event loop stood still.", self._blocked_seconds
        )


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"goldenpath_{name}", about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"goldenpath_{name}", about, value=value)


def _histogram(name: str, about: str, histogram: Histogram) -> Metric:
    return HistogramMetricFamily(
        f"goldenpath_{name}", about, buckets=histogram.cumulative(), sum_value=histogram.total
    )
