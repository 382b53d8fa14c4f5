"""A monitor's report in Prometheus' text format: base units, bounded labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from raymm.artifacts.figures import FIGURES, figures

_GAUGES = {
    "statistic": ("raymm_drift_psi", "Population stability index of the last window."),
    "threshold": ("raymm_drift_threshold", "What the index may reach by chance."),
    "drifted": ("raymm_drifted", "1 where the last window drifted."),
    "missing": ("raymm_missing_ratio", "Share of missing values."),
    "unseen": ("raymm_unseen_ratio", "Share of values that training never saw."),
}


def metrics_text(name: str, report: Mapping[str, Any]) -> str:
    """Return a model's report as Prometheus takes it.

    Labels are the model, the version (a handful), the feature, what became of labels, and the
    error's class, of which there are 51 at most.
    """
    registry = CollectorRegistry()
    registry.register(_Report(name, report))
    return generate_latest(registry).decode()


class _Report(Collector):
    def __init__(self, name: str, report: Mapping[str, Any]) -> None:
        self._name = name
        self._report = report

    def collect(self) -> Iterator[Metric]:
        """Yield every metric that the report has figures for."""
        yield self._counter("raymm_monitored_requests", "Requests.", self._report["requests"])
        yield self._counter("raymm_monitored_rows", "Rows answered.", self._report["rows"])
        errors = CounterMetricFamily(
            "raymm_monitored_errors", "Failed requests.", labels=["model", "error"]
        )
        for error, count in self._report["errors"].items():
            errors.add_metric([self._name, error], count)
        yield errors
        latency = SummaryMetricFamily(
            "raymm_monitored_latency_seconds", "Time of a request.", labels=["model"]
        )
        spent = self._report["latency"]
        latency.add_metric([self._name], count_value=spent["count"], sum_value=spent["sum"])
        yield latency
        yield from self._features()
        yield from self._versions()

    def _versions(self) -> Iterator[Metric]:
        gauges = {
            one.name: GaugeMetricFamily(one.name, one.text, labels=["model", "version"])
            for one in FIGURES
        }
        for one, version, value in figures(self._report):
            gauges[one.name].add_metric([self._name, version], value)
        yield from gauges.values()
        labels = CounterMetricFamily(
            "raymm_labels", "What became of true labels.", labels=["model", "outcome"]
        )
        told = self._report.get("labels", {})
        for outcome in ("labels", "doubled", "expired", "too_late", "unreadable"):
            if outcome in told:
                shown = "told" if outcome == "labels" else outcome
                labels.add_metric([self._name, shown], told[outcome])
        yield labels

    def _counter(self, name: str, text: str, value: float) -> Metric:
        family = CounterMetricFamily(name, text, labels=["model"])
        family.add_metric([self._name], value)
        return family

    def _features(self) -> Iterator[Metric]:
        for key, (name, text) in _GAUGES.items():
            family = GaugeMetricFamily(name, text, labels=["model", "feature"])
            for feature, seen in self._report["features"].items():
                if seen.get(key) is not None:
                    family.add_metric([self._name, feature], float(seen[key]))
            yield family
