"""How much is asked, how fast it is answered, and what fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from raymm.artifacts import Batch, Statistics
from raymm.errors import failed_of, refused_of
from raymm.monitoring.answered import bucket
from raymm.monitoring.monitor import Monitor
from raymm.monitoring.sketches import Latencies
from raymm.plugins import monitor
from raymm.sections import MonitoringConfig

MOST_ERRORS = 50
_OTHER = "other"


@monitor("traffic")
class Traffic(Monitor):
    """Requests, rows, errors by class (at most 50, then "other") and latency in seconds."""

    def __init__(
        self, statistics: Statistics, *, config: MonitoringConfig, clock: Callable[[], float]
    ) -> None:
        super().__init__(statistics, config=config, clock=clock)
        self._since = clock()
        self._requests = 0
        self._rows = self._unsampled = 0
        self._errors: dict[str, int] = {}
        self._latencies = Latencies()

    def update(self, batch: Batch) -> None:
        """Count requests; rows and times only where they were answered."""
        told = batch.merged or (batch.seconds,)
        self._requests += len(told)
        if batch.error:
            self._fail(batch.error, len(told))
            return
        self._rows += batch.rows
        self._unsampled += batch.rows * batch.thinned
        self._latencies.add(*told)

    def _fail(self, error: str, count: int) -> None:
        if error not in self._errors and len(self._errors) >= MOST_ERRORS:
            error = _OTHER
        self._errors[error] = self._errors.get(error, 0) + count

    def report(self) -> Mapping[str, Any]:
        """Return requests, rows, errors, latency quantiles (seconds) and since when (seconds).

        Errors are counted by class, and apart those by 4xx ("refused") and by 5xx ("failed").

        Of ``unsampled`` rows only times were told, as too many came at a time. Under "latency",
        "within" counts answers by `raymm.monitoring.answered.bucket`.
        """
        quantiles = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
        latency = {name: self._latencies.quantile(share) for name, share in quantiles.items()}
        return {
            "since": self._since,
            "requests": self._requests,
            "rows": self._rows,
            "unsampled": self._unsampled,
            "errors": dict(self._errors),
            "refused": refused_of(self._errors),
            "failed": failed_of(self._errors),
            "latency": {
                **latency,
                "sum": self._latencies.sum,
                "count": self._latencies.count,
                "within": self._within(),
            },
        }

    def _within(self) -> dict[str, int]:
        counts: dict[int, int] = {}
        for seconds, count in self._latencies.each():
            place = bucket(seconds)
            counts[place] = counts.get(place, 0) + count
        return {str(place): count for place, count in sorted(counts.items())}

    def state(self) -> Mapping[str, Any]:
        """Return the counts."""
        return {
            "since": self._since,
            "requests": self._requests,
            "rows": self._rows,
            "unsampled": self._unsampled,
            "errors": dict(self._errors),
            "latencies": self._latencies.state(),
        }

    def merge(self, state: Mapping[str, Any]) -> Self:
        """Add another's counts; the earlier start holds."""
        self._since = min(self._since, state["since"])
        self._requests += state["requests"]
        self._rows += state["rows"]
        self._unsampled += state.get("unsampled", 0)  # which older states lack
        for error, count in state["errors"].items():
            self._fail(error, count)
        self._latencies.merge(state["latencies"])
        return self
