"""Figures of the service in Prometheus' text format.

Labels are bounded: models, versions, the error tree's class names and, of each figure of a feature,
the features that a monitor's report holds. The report is flattened besides into one gauge whose
``measure`` label takes `MOST_MEASURES` values at most, those of the whole model before those of its
many features.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate, chain, islice
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from raymm.artifacts.figures import FIGURES, counted, figures
from raymm.errors import status_of

MOST_MEASURES = 500
"""Series that one model's monitor may add to ``raymm_monitor``."""

FEATURE_FIGURES = {
    "statistic": "Population stability index of the feature's last complete window.",
    "threshold": "What that index may reach by chance.",
    "drifted": "1 where the feature no longer looks as in training, else 0.",
    "missing": "Share of missing values in the last complete window.",
    "unseen": "Share of values in the last complete window that training did not have.",
}
"""Figures of a feature in a monitor's report, named as the monitor's own process shows them."""

_WINDOW = {
    "filled": ("raymm_window_rows", "Rows that the monitor's current window holds so far."),
    "rows": ("raymm_window_size_rows", "Rows that complete a window of the monitor."),
}
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class _Counts:
    """What one version answered; plain numbers, since they are touched at each request."""

    __slots__ = ("requests", "rows", "seconds", "within")

    def __init__(self) -> None:
        self.requests = 0
        self.rows = 0
        self.seconds = 0.0
        self.within = [0] * (len(_BUCKETS) + 1)  # answers by the bucket that their time falls in


class Telemetry(Collector):
    """Counts what one process answers."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, int], _Counts] = {}
        self._explained: dict[tuple[str, int], _Counts] = {}
        self._errors: Counter[tuple[str, str]] = Counter()
        self._refused: Counter[tuple[str, str, int]] = Counter()
        self._callers: Counter[str] = Counter()
        self._versions: Mapping[str, int] = {}
        self._reports: Mapping[str, Mapping[str, Any]] = {}

    def answered(self, model: str, version: int, rows: int, seconds: float) -> None:
        """Count a request that was answered."""
        counts = self._of(model, version)
        counts.requests += 1
        counts.rows += rows
        counts.seconds += seconds
        counts.within[bisect_left(_BUCKETS, seconds)] += 1

    def explained(self, model: str, version: int, seconds: float | None) -> None:
        """Count a request to explain; ``seconds`` is None where it was refused or failed."""
        counts = self._explained.setdefault((model, version), _Counts())
        counts.requests += 1
        if seconds is not None:
            counts.seconds += seconds
            counts.within[bisect_left(_BUCKETS, seconds)] += 1

    def admitted(self, caller: str) -> None:
        """Count a request by the name of its token."""
        self._callers[caller] += 1

    def failed(self, model: str, version: int, error: str) -> None:
        """Count a request that was refused or failed; ``error`` is its class name."""
        self._of(model, version).requests += 1
        self._errors[model, error] += 1

    def refused(self, model: str, error: str, status: int) -> None:
        """Count what was refused or failed and is no prediction request that was read.

        Parameters
        ----------
        model : str
            One that is served; else empty, since what clients write bounds no label.
        error : str
            Its class name.
        status : int
            The answer's HTTP status.
        """
        self._refused[model, error, status] += 1

    def totals(self, model: str) -> dict[str, Any]:
        """Return a model's predictions: requests, rows, errors by class name, of all versions."""
        own = [counts for (name, _), counts in self._counts.items() if name == model]
        return {
            "requests": sum(one.requests for one in own),
            "rows": sum(one.rows for one in own),
            "errors": {error: n for (name, error), n in self._errors.items() if name == model},
        }

    def _of(self, model: str, version: int) -> _Counts:
        counts = self._counts.get((model, version))
        if counts is None:
            counts = self._counts[model, version] = _Counts()
        return counts

    def text(self, versions: Mapping[str, int], reports: Mapping[str, Mapping[str, Any]]) -> bytes:
        """Return everything in Prometheus' text format.

        Parameters
        ----------
        versions : mapping of model to version number
        reports : mapping of model to its monitor's report
        """
        self._versions, self._reports = versions, reports
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry) + _features(reports)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures as they are now, but for those of features."""
        requests, seconds = _timed("raymm_request", "Prediction requests", self._counts)
        rows = CounterMetricFamily("raymm_rows", "Rows predicted.", labels=("model", "version"))
        for (model, version), counts in self._counts.items():
            rows.add_metric((model, str(version)), counts.rows)
        callers = CounterMetricFamily(
            "raymm_token_requests", "Requests admitted, by the token's name.", labels=("token",)
        )
        for caller, count in self._callers.items():
            callers.add_metric((caller,), count)
        yield from (requests, rows, seconds, self._failures(), callers, self._served())
        yield from _timed("raymm_explain_request", "Explanation requests", self._explained)
        yield from (self._monitored(), self._aged())
        yield from self._windows()
        yield from self._by_version()

    def _failures(self) -> Metric:
        family = CounterMetricFamily(
            "raymm_errors",
            "Requests of any kind, predictions or not, that were refused (status 4xx) or failed "
            "(5xx); model is empty where they name none that is served.",
            labels=("model", "error", "status"),
        )
        both = self._refused.copy()
        for (model, error), count in self._errors.items():
            both[model, error, status_of(error)] += count
        for (model, error, status), count in both.items():
            family.add_metric((model, error, str(status)), count)
        return family

    def _served(self) -> Metric:
        family = GaugeMetricFamily(
            "raymm_model_version", "Number of the version that is served.", labels=("model",)
        )
        for model, number in self._versions.items():
            family.add_metric((model,), number)
        return family

    def _by_version(self) -> Iterator[Metric]:
        gauges = {
            one.name: GaugeMetricFamily(one.name, one.text, labels=("model", "version"))
            for one in FIGURES
        }
        for model, report in self._reports.items():
            for one, version, value in figures(report):
                gauges[one.name].add_metric((model, version), value)
        yield from gauges.values()
        yield from self._counted()

    def _counted(self) -> Iterator[Metric]:
        """Yield what the monitors counted of each version, in all replicas."""
        both = ("model", "version")
        requests = CounterMetricFamily(
            "raymm_version_requests", "Requests of all replicas, shadows and errors too.",
            labels=both,
        )  # fmt: skip
        rows = CounterMetricFamily("raymm_version_rows", "Rows of all replicas.", labels=both)
        errors = CounterMetricFamily(
            "raymm_version_errors",
            "Requests of all replicas that were refused (status 4xx) or failed (5xx).",
            labels=(*both, "error", "status"),
        )
        seconds = HistogramMetricFamily(
            "raymm_version_request_seconds", "Time of all replicas' answers.", labels=both
        )
        for model, report in self._reports.items():
            for one in counted(report):
                labels = (model, one.version)
                requests.add_metric(labels, one.requests)
                rows.add_metric(labels, one.rows)
                seconds.add_metric(labels, list(one.buckets), sum_value=one.seconds)
                for error, count in one.errors.items():
                    errors.add_metric((*labels, error, str(status_of(error))), count)
        yield from (requests, rows, errors, seconds)

    def _monitored(self) -> Metric:
        family = GaugeMetricFamily(
            "raymm_monitor",
            "Figures of the monitor's report by their path in it, of units of all kinds; the named "
            "series (raymm_feature_*, raymm_window_*, raymm_quality, raymm_drifted_features, "
            "raymm_monitor_age_seconds, ...) are to be preferred.",
            labels=("model", "measure"),
        )
        for model, report in self._reports.items():
            parts = [
                list(islice(measures({key: value}), MOST_MEASURES))
                for key, value in report.items()
                if key != "versions"
            ]
            # the smallest parts come first: what is cut off is of the features of a wide table
            parts.sort(key=len)
            shown = islice(chain.from_iterable(parts), MOST_MEASURES)
            # a measure that is told twice has its last value
            for measure, value in dict(shown).items():
                family.add_metric((model, measure), value)
        return family

    def _aged(self) -> Metric:
        family = GaugeMetricFamily(
            "raymm_monitor_age_seconds", "Time since the monitor's report came.", labels=("model",)
        )
        for model, report in self._reports.items():
            age = _finite(report.get("age"))
            if age is not None:
                family.add_metric((model,), age)
        return family

    def _windows(self) -> Iterator[Metric]:
        for key, (name, text) in _WINDOW.items():
            family = GaugeMetricFamily(name, text, labels=("model",))
            for model, report in self._reports.items():
                value = _finite(_mapping(report.get("window")).get(key))
                if value is not None:
                    family.add_metric((model,), value)
            yield family


def _timed(
    stem: str, what: str, counts: Mapping[tuple[str, int], _Counts]
) -> tuple[CounterMetricFamily, HistogramMetricFamily]:
    """Return how many requests of one kind there were, and how long their answers took."""
    both = ("model", "version")
    requests = CounterMetricFamily(f"{stem}s", f"{what} answered, errors too.", labels=both)
    seconds = HistogramMetricFamily(
        f"{stem}_seconds",
        f"{what}: time from the first byte to the answer, without errors.",
        labels=both,
    )
    bounds = [*map(str, _BUCKETS), "+Inf"]
    for (model, version), one in counts.items():
        labels = (model, str(version))
        requests.add_metric(labels, one.requests)
        buckets = list(zip(bounds, accumulate(one.within), strict=True))
        seconds.add_metric(labels, buckets, sum_value=one.seconds)
    return requests, seconds


def _features(reports: Mapping[str, Mapping[str, Any]]) -> bytes:
    """Return the champions' figures of each feature in Prometheus' text format.

    They are written here, since a scrape holds up predictions: of 1000 features prometheus_client
    takes 37 ms, and this 5.
    """
    series: dict[str, list[str]] = {key: [] for key in FEATURE_FIGURES}
    for model, report in reports.items():
        for feature, one in _mapping(report.get("features")).items():
            labels = f'{{feature="{_escaped(feature)}",model="{_escaped(model)}"}}'
            known = _mapping(one)
            for key, lines in series.items():
                value = _finite(known.get(key))
                if value is not None:
                    lines.append(f"raymm_feature_{key}{labels} {value!r}\n")
    heads = {
        key: f"# HELP raymm_feature_{key} {text}\n# TYPE raymm_feature_{key} gauge\n"
        for key, text in FEATURE_FIGURES.items()
    }
    return "".join(chain.from_iterable([heads[key], *series[key]] for key in series)).encode()


def _escaped(value: str) -> str:
    r"""Return a label's value as it stands between quotes.

    >>> print(_escaped('a"b' + chr(10) + chr(92)))
    a\"b\n\\

    Source: "Text format details" of Prometheus' exposition formats.
    """
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


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
    elif (value := _finite(report)) is not None:
        yield path, value


def _finite(value: Any) -> float | None:
    """Return a finite number, or a truth value as 0 or 1; else None."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _mapping(value: Any) -> Mapping[Any, Any]:
    """Return a mapping as it is and an empty one for anything else, as a plug-in may report."""
    return value if isinstance(value, Mapping) else {}
