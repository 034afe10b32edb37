"""Who is told of what the engines do: the metrics, and traces where the application wants them."""

from __future__ import annotations

from importlib.util import find_spec

from goldenpath.engine.ports import Observer
from goldenpath.telemetry.metrics import Metrics
from goldenpath.telemetry.observers import Observers


def observer_of(metrics: Metrics) -> Observer:
    """The metrics alone, unless OpenTelemetry is installed and has a provider."""
    if find_spec("opentelemetry") is None:
        return metrics
    from goldenpath.telemetry.tracing import tracing

    traces = tracing()
    return metrics if traces is None else Observers(metrics, traces)
