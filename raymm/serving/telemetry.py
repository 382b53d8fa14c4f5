"""Figures of the service in Prometheus' text format.

Labels are bounded: models, versions and the error tree's class names; a monitor's report is
flattened into one gauge whose ``measure`` label takes `MOST_MEASURES` values at most.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MOST_MEASURES = 500
"""Series that one model's monitor may add to ``/metrics``."""

_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Telemetry:
    """Counts what one process answers."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        both = ("model", "version")
        make: dict[str, Any] = {"registry": self._registry}
        self._requests = Counter(
            "raymm_requests_total", "Prediction requests answered, errors too.", both, **make
        )
        self._rows = Counter("raymm_rows_total", "Rows predicted.", both, **make)
        self._errors = Counter(
            "raymm_errors_total", "Requests refused or failed.", ("model", "error"), **make
        )
        self._seconds = Histogram(
            "raymm_request_seconds",
            "Time from the request's first byte to the answer.",
            both,
            buckets=_BUCKETS,
            **make,
        )
        self._version = Gauge(
            "raymm_model_version", "Number of the version that is served.", ("model",), **make
        )
        self._monitor = Gauge(
            "raymm_monitor", "Figures of the monitor's report.", ("model", "measure"), **make
        )
        self._children: dict[tuple[str, int], tuple[Any, Any, Any]] = {}

    def answered(self, model: str, version: int, rows: int, seconds: float) -> None:
        """Count a request that was answered."""
        requests, predicted, timer = self._of(model, version)
        requests.inc()
        predicted.inc(rows)
        timer.observe(seconds)

    def failed(self, model: str, version: int, error: str) -> None:
        """Count a request that was refused or failed; ``error`` is its class name."""
        self._of(model, version)[0].inc()
        self._errors.labels(model, error).inc()

    def _of(self, model: str, version: int) -> tuple[Any, Any, Any]:
        """Look-up of labels costs more than counting, so the labelled counters are kept."""
        key = (model, version)
        if key not in self._children:
            labels = (model, str(version))
            self._children[key] = (
                self._requests.labels(*labels),
                self._rows.labels(*labels),
                self._seconds.labels(*labels),
            )
        return self._children[key]

    def text(self, versions: Mapping[str, int], reports: Mapping[str, Mapping[str, Any]]) -> bytes:
        """Return everything in Prometheus' text format.

        Parameters
        ----------
        versions : mapping of model to version number
        reports : mapping of model to its monitor's report
        """
        self._version.clear()
        for model, number in versions.items():
            self._version.labels(model).set(number)
        self._monitor.clear()
        for model, report in reports.items():
            for count, (measure, value) in enumerate(measures(report)):
                if count == MOST_MEASURES:
                    break
                self._monitor.labels(model, measure).set(value)
        return generate_latest(self._registry)


def measures(report: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Yield the finite numbers of nested plain values, each with its dotted path.

    Truth values count as 0 and 1. A list of mappings that have a "name", "column" or "feature"
    is keyed by it; other lists are passed over, since their length is not bounded.

    >>> list(measures({"drift": [{"column": "age", "psi": 0.1}], "on": True}))
    [('drift.age.psi', 0.1), ('on', 1.0)]
    """
    if isinstance(report, Mapping):
        for key, value in report.items():
            yield from measures(value, f"{path}.{key}" if path else str(key))
    elif isinstance(report, list | tuple):
        for item in report:
            if isinstance(item, Mapping):
                key = next((item[k] for k in ("name", "column", "feature") if k in item), None)
                if isinstance(key, str):
                    yield from measures(item, f"{path}.{key}")
    elif isinstance(report, bool | int | float) and math.isfinite(report):
        yield path, float(report)
